//! Makes a failing schedule as short as it can.

use std::rc::Rc;

use crate::database::Sqlite;
use crate::plant::Plant;
use crate::run::run;
use crate::script::Op;
use crate::world::Violation;

/// The places of those decisions of `ops` that are enough to fail in the same way: none of them can be left out.
///
/// `kept` fails; larger parts are left out first, then smaller ones, down to single decisions, until nothing more goes.
///
/// # Errors
///
/// Those of the simulator itself.
pub fn shrink(
    databases: &[Rc<Sqlite>],
    plant: Option<Plant>,
    ops: &[Op],
    mut kept: Vec<usize>,
    violation: &Violation,
) -> Result<Vec<usize>, String> {
    let fails = |places: &[usize]| -> Result<bool, String> {
        let ran = run(databases, plant, chosen(ops, places), false)?;
        Ok(ran.violation.is_some_and(|found| found.invariant == violation.invariant))
    };
    let mut part = kept.len().div_ceil(2);
    while part > 0 {
        let (mut at, mut shorter) = (0_usize, false);
        while at < kept.len() {
            let end = at.saturating_add(part);
            let rest: Vec<_> = kept
                .iter()
                .zip(0_usize..)
                .filter(|(_, place)| *place < at || *place >= end)
                .map(|(kept, _)| *kept)
                .collect();
            if fails(&rest)? {
                (kept, shorter) = (rest, true);
            } else {
                at = end;
            }
        }
        if !(shorter && part == 1) {
            part = part.checked_div(2).unwrap_or(0);
        }
    }
    Ok(kept)
}

/// The decisions at these places.
pub fn chosen<'a>(ops: &'a [Op], places: &[usize]) -> impl Iterator<Item = &'a Op> {
    places.iter().filter_map(|place| ops.get(*place))
}
