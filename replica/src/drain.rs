//! The end of a drain's time (PROTOCOL §3, "Planned hand-over"): attempts that outlived it are handed back, which counts
//! neither as failure nor as crash.

use ringhold_types::{AttemptToken, ControlIndex};

use crate::attempts::LocalState;
use crate::effect::Effects;
use crate::member::Member;
use crate::rules::Rules;

impl<R: Rules> Member<R> {
    /// The time of a drain of this member is over, or begins. A drain that has ended meanwhile has no time that could be over,
    /// and a later one has its own.
    pub(crate) fn drain_over(&mut self, drain: ControlIndex, over: bool, effects: &mut Effects) {
        if self.shared.drain == Some(drain) {
            self.shared.drain_over = over;
            self.hand_back(effects);
        }
    }

    /// Asks for the end of what runs here for others, once the drain's time is over. What this member still leads it could
    /// only start here again: that is handed back as soon as another leads it.
    pub(crate) fn hand_back(&self, effects: &mut Effects) {
        if self.shared.drain_over {
            effects.hand_backs.extend(self.running_for_others());
        }
    }

    /// Attempts that run here of partitions that others lead.
    #[must_use]
    pub fn attempts_for_others(&self) -> usize {
        self.running_for_others().count()
    }

    fn running_for_others(&self) -> impl Iterator<Item = AttemptToken> {
        let leads = |token: &AttemptToken| {
            let configuration = self.configurations.get(&token.partition);
            let primary = configuration.and_then(|it| it.primary);
            primary.is_some_and(|it| it.member == self.shared.id)
        };
        let attempts = self.shared.attempts.iter();
        let running = attempts.filter(|(_, it)| it.state == LocalState::Running);
        running
            .map(|(token, _)| *token)
            .filter(move |it| !leads(it))
    }
}
