//! The disks of both backups lose acknowledged entries, and their primary, which holds all, is not heard for a while. One of
//! the two is named primary: what the other one tells it is not all there is, so it must wait for the third (PROTOCOL §5).

use ringhold_replica::{Replica, RoleView};

use super::super::World;
use super::{Played, Staging, piecemeal};
use crate::plan::{MILLISECOND, SECOND};

pub(crate) fn play(staging: Staging) -> Played {
    let mut plan = piecemeal(3);
    plan.min_copies = Some(3);
    World::directed(plan, staging, direct, 3).without_loss("the former primary")
}

fn direct(world: &mut World) {
    let stage = world.scene.stage;
    if stage == 0 && !world.cast() {
        return;
    }
    let (primary, first, second) = (world.scene.primary, world.scene.first, world.scene.second);
    match stage {
        0 => {
            if !(world.may_lose(first) && world.may_lose(second)) {
                return;
            }
            let until = world.now + 3 * SECOND;
            for backup in [first, second] {
                world.cut_both(primary, backup, until);
                world.damage_at(backup);
            }
            world.next_stage();
        }
        1 if world.has_passed(500) => {
            let committed = world.replica_at(primary).map(Replica::committed);
            let lacks = |slot| {
                let replica = world.replica_at(slot);
                replica.is_some_and(|it| it.cut_mark() && Some(it.last()) < committed)
            };
            if lacks(first) && lacks(second) {
                world.hand_to(first);
                world.next_stage();
            } else if world.has_passed(6_000) {
                // One of them had all that was committed: again.
                world.scene.stage = 0;
            }
        }
        2 => {
            let heard = world.now >= world.scene.at + 3 * SECOND + 500 * MILLISECOND;
            let leads = world.replica_at(first).map(Replica::role) == Some(RoleView::Leading);
            if heard && leads {
                world.next_stage();
            }
        }
        _ => {}
    }
}
