//! A backup's disk loses acknowledged entries, and before it has them again it is cut off from its primary. The third member
//! dies, and its seat stays empty: it must not be given up, for should the primary be lost for good next, the third is the
//! only one that holds what the backup lost (PROTOCOL §3).

use super::super::World;
use super::super::queue::Happening;
use super::{Played, Staging, piecemeal};

pub(crate) fn play(staging: Staging) -> Played {
    let mut plan = piecemeal(3);
    plan.min_copies = Some(3);
    World::directed(plan, staging, direct, 4).without_loss("a member")
}

fn direct(world: &mut World) {
    let stage = world.scene.stage;
    if stage == 0 && world.cast() && world.damage_first() {
        world.next_stage();
        return;
    }
    match stage {
        1 => match world.first_has_a_part() {
            Some(true) if primary_heard_first(world) => {
                let (primary, first) = (world.scene.primary, world.scene.first);
                world.cut_both(primary, first, world.plan.storm);
                world.crash(world.scene.second);
                let second = world.hosts[world.scene.second].member;
                world.judge_dead(&[second]);
                world.next_stage();
            }
            Some(false) => world.scene.stage = 0,
            _ => {}
        },
        2 if world.has_passed(2_000) => {
            let primary = world.scene.primary;
            world.crash(primary);
            world.hosts[primary].is_gone = true;
            let member = world.hosts[primary].member;
            world.forget(member);
            let new = world.add_host(None);
            let at = world.plan.storm;
            world.queue.push(at, Happening::Start { slot: new });
            world.next_stage();
        }
        3 if world.has_passed(1_000) => {
            let slot = world.scene.second;
            world.queue.push(world.now, Happening::Start { slot });
            world.next_stage();
        }
        _ => {}
    }
}

/// Whether the primary has an acknowledgement of the first one since its restart, and so knows of its mark.
fn primary_heard_first(world: &World) -> bool {
    let member = world.hosts[world.scene.first].member;
    let primary = world.replica_at(world.scene.primary);
    let matched = primary.map(ringhold_replica::Replica::matched);
    matched.is_some_and(|all| {
        let mut all = all.into_iter();
        all.any(|(peer, lsn)| peer.member == member && lsn > ringhold_types::Lsn::ZERO)
    })
}
