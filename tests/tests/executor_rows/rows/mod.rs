//! All rows, by the part of the reference that names them.

mod drakkar;
mod failures;
mod model;
mod paces;
mod ppacer;
mod programs;

use super::row::Row;

/// All rows, in the order of the reference.
pub(crate) fn all() -> Vec<&'static Row> {
    let parts = [
        model::ROWS,
        paces::ROWS,
        programs::ROWS,
        failures::ROWS,
        ppacer::ROWS,
        drakkar::ROWS,
    ];
    parts.into_iter().flatten().collect()
}
