//! Named assertions on one replica (PROTOCOL §2). The cheap ones are checked at the end of every turn, in releases too: a
//! member that finds one broken stops before anything more is promised.

use ringhold_types::Lsn;

use crate::context::Context;
use crate::core::Core;
use crate::rules::Rules;

/// Checks what can be seen from here at little cost.
pub(crate) fn check<R: Rules>(core: &Core, context: &mut Context<'_, R>) {
    let broken = i04_commit_is_a_prefix(core)
        .or_else(|| i11_apply_follows_commit(core))
        .or_else(|| i07_log_is_not_ahead_of_the_term(core));
    if let Some(what) = broken {
        context.fatal(format!("{what}, partition {}", core.partition));
    }
}

/// I4: what is committed is in the log.
fn i04_commit_is_a_prefix(core: &Core) -> Option<String> {
    let last = core.log.last();
    (core.commit > last)
        .then(|| format!("I4: commit {} is beyond the log's end {last}", core.commit))
}

/// I11: what is applied is committed, and what is committed is applied by the end of a turn.
fn i11_apply_follows_commit(core: &Core) -> Option<String> {
    (core.applied > core.commit).then(|| {
        format!(
            "I11: applied {} is beyond commit {}",
            core.applied, core.commit
        )
    })
}

/// I7: no entry of the log is of a later term than the adopted one.
fn i07_log_is_not_ahead_of_the_term(core: &Core) -> Option<String> {
    let last = core.log.last_term();
    (core.log.last() > Lsn::ZERO && last > core.term)
        .then(|| format!("I7: an entry of term {last} in term {}", core.term))
}
