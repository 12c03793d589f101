//! A backup's disk loses acknowledged entries. It starts again, has got a part of them back, and is named primary: it must
//! ask the others for the rest before it leads (PROTOCOL §5).

use super::super::World;
use super::{Played, Staging, piecemeal};

pub(crate) fn play(staging: Staging) -> Played {
    World::directed(piecemeal(3), staging, direct, 2)
}

fn direct(world: &mut World) {
    if world.scene.stage == 0 && world.cast() && world.damage_first() {
        world.next_stage();
        return;
    }
    if world.scene.stage != 1 {
        return;
    }
    match world.first_has_a_part() {
        Some(true) => {
            world.hand_to(world.scene.first);
            world.next_stage();
        }
        // It got everything at once: again.
        Some(false) => world.scene.stage = 0,
        None => {}
    }
}
