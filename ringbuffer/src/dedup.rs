//! Idempotency keys: the submit that a retry repeats is found by its key (DESIGN G6).

use std::collections::{BTreeMap, VecDeque};

use ringhold_types::{IdempotencyKey, RingTime, Sequence};

/// What an idempotency key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHit {
    /// The task it stored.
    pub sequence: Sequence,
    /// [`ringhold_types::TaskSpec::identity`] of that task: a submit of another identity is refused.
    pub identity: u64,
}

/// The key of an entry that is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemovedKey {
    /// The key.
    pub key: IdempotencyKey,
    /// What it was used for.
    pub hit: KeyHit,
    /// Ring time of the entry's removal.
    pub removed: RingTime,
}

/// All keys that a ring remembers: those of its entries, and those of removed entries in a bounded queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Identity by key and sequence. A key stands here once unless a primary accepted it twice.
    hits: BTreeMap<(IdempotencyKey, Sequence), u64>,
    /// Keys of removed entries, in the order of removal; ring time never falls, so also in that order.
    removed: VecDeque<RemovedKey>,
}

impl Keys {
    /// Remembers the key of a new entry.
    pub(crate) fn insert(&mut self, key: &IdempotencyKey, hit: KeyHit) {
        self.hits.insert((key.clone(), hit.sequence), hit.identity);
    }

    /// The newest use of a key.
    pub(crate) fn find(&self, key: &IdempotencyKey) -> Option<KeyHit> {
        let first = (key.clone(), Sequence::from_bits(0));
        let last = (key.clone(), Sequence::from_bits(u64::MAX));
        self.hits
            .range(first..=last)
            .next_back()
            .map(|((_, sequence), identity)| KeyHit {
                sequence: *sequence,
                identity: *identity,
            })
    }

    /// The entry of this key is gone: from here on it is remembered for a time, and among `most` at most.
    pub(crate) fn release(
        &mut self,
        key: &IdempotencyKey,
        sequence: Sequence,
        at: RingTime,
        most: u64,
    ) {
        if let Some(identity) = self.hits.get(&(key.clone(), sequence)) {
            self.removed.push_back(RemovedKey {
                key: key.clone(),
                hit: KeyHit {
                    sequence,
                    identity: *identity,
                },
                removed: at,
            });
        }
        self.trim(most);
    }

    /// Forgets the oldest keys of removed entries beyond `most`.
    pub(crate) fn trim(&mut self, most: u64) {
        while self.removed.len() as u64 > most {
            self.forget_oldest();
        }
    }

    /// Forgets the keys of entries removed before this ring time.
    pub(crate) fn forget_before(&mut self, removed_before: RingTime) {
        while self
            .removed
            .front()
            .is_some_and(|key| key.removed < removed_before)
        {
            self.forget_oldest();
        }
    }

    /// Keys of removed entries, in the order of removal.
    pub(crate) const fn removed(&self) -> &VecDeque<RemovedKey> {
        &self.removed
    }

    /// Puts a key of a removed entry back, as a snapshot holds it. Says whether it was not there yet.
    pub(crate) fn restore(&mut self, key: RemovedKey) -> bool {
        let place = (key.key.clone(), key.hit.sequence);
        let is_new = self.hits.insert(place, key.hit.identity).is_none();
        self.removed.push_back(key);
        is_new
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.removed.pop_front() {
            self.hits.remove(&(oldest.key, oldest.hit.sequence));
        }
    }
}
