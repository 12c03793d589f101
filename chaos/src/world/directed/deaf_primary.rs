//! A learner has its seat, and its primary, which has counted it, hears neither of that nor of its own end, nor from the
//! learner. The learner is named primary and commits with the third, which has not heard either and still grants its lease
//! to the old primary. That one must not answer: the lease of the learner that it counted has run out (I14).

use ringhold_types::Persistence;

use super::super::World;
use super::{Played, Staging, quiet};

pub(crate) fn play(staging: Staging) -> Played {
    let plan = quiet(4, Persistence::Memory);
    World::directed(plan, staging, direct, 4)
}

fn direct(world: &mut World) {
    let stage = world.scene.stage;
    // The second one dies, so that the fourth becomes a learner and then gets its seat.
    if stage == 0 && world.cast() {
        world.crash(world.scene.second);
        world.next_stage();
        return;
    }
    match stage {
        1 => {
            let partition = world.stage_partition();
            let configuration = world.control.cluster.configuration(partition);
            let known = [world.scene.primary, world.scene.first];
            let known = known.map(|slot| world.hosts[slot].member);
            let new = configuration.and_then(|it| {
                let mut seats = it.in_sync.into_iter().map(|seat| seat.member);
                seats.find(|member| {
                    !known.contains(member) && *member != world.hosts[world.scene.second].member
                })
            });
            let Some(learner) = new.and_then(|member| world.slot_of(member)) else {
                return;
            };
            let until = world.plan.storm;
            world.cut_both(world.scene.primary, learner, until);
            for slot in [world.scene.primary, world.scene.first] {
                world.hosts[slot].control_cut_until = until;
            }
            world.next_stage();
        }
        // Its grants to the old primary have run out when the learner is named.
        2 if world.has_passed(800) => {
            let members = [world.scene.primary, world.scene.first];
            let members = members.map(|slot| world.hosts[slot].member);
            world.judge_dead(&members);
            world.next_stage();
        }
        3 if world.has_passed(100) => {
            world.ask_about_newest(world.scene.primary);
            world.next_stage();
        }
        _ => {}
    }
}
