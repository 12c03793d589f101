//! A backup's disk loses acknowledged entries, and before it has them again its primary and the third member are judged dead
//! in one command. The control plane may give up one of their seats; not both, for then only the cut tail would be left, and
//! what it lacks would count as lost while the third member holds it (PROTOCOL §3, §5).

use super::super::World;
use super::super::queue::Happening;
use super::{Played, Staging, piecemeal};

pub(crate) fn play(staging: Staging) -> Played {
    let mut plan = piecemeal(3);
    plan.min_copies = Some(1);
    let holder = "a member that was only judged dead";
    World::directed(plan, staging, direct, 3).without_loss(holder)
}

fn direct(world: &mut World) {
    let stage = world.scene.stage;
    if stage == 0 && world.cast() && world.damage_first() {
        let (primary, first) = (world.scene.primary, world.scene.first);
        world.cut_both(primary, first, world.plan.storm);
        world.next_stage();
        return;
    }
    let (primary, first, second) = (world.scene.primary, world.scene.first, world.scene.second);
    match stage {
        1 if is_marked(world, first) => {
            world.crash(primary);
            world.crash(second);
            let dead = [primary, second].map(|slot| world.hosts[slot].member);
            world.judge_dead(&dead);
            world.next_stage();
        }
        2 if world.has_passed(2_000) => {
            world
                .queue
                .push(world.now, Happening::Start { slot: second });
            world.next_stage();
        }
        _ => {}
    }
}

/// Whether the control plane knows of the cut tail of a member that is up again.
fn is_marked(world: &World, slot: usize) -> bool {
    let host = &world.hosts[slot];
    let cluster = world.cluster();
    let record = cluster.members().get(&host.member);
    let process = host.process.as_ref();
    process.is_some_and(|process| {
        let known = record.is_some_and(|it| it.marked && it.start == process.start);
        known && process.machine.is_registered() && process.machine.carries_marks()
    })
}
