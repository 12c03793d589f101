//! Members as a whole: three in this process, spoken to as any client does.

mod absence;
mod pages;
mod stopping;
mod support;
