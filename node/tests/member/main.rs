//! Members as a whole: three in this process, spoken to as any client does.

mod absence;
mod codes;
mod discovery;
mod draining;
mod failing;
mod not_yet;
mod pages;
mod patience;
mod rare_codes;
mod ring_bytes;
mod stopping;
mod support;
