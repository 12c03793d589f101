//! Counters that only grow. Each is a type of its own so that a term is never taken for a position.

/// Declares a counter: an ordered `u64` with a checked successor.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first one.
            pub const ZERO: Self = Self(0);

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next value. Saturates at `u64::MAX`, which no cluster reaches (584 years at one a nanosecond).
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The value before this one; zero stays zero.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

counter! {
    /// Number of a partition's current primary reign. Grows with every change and every process start of the primary.
    Term
}
counter! {
    /// Position of an entry in a partition's replicated log; the first entry is 1, 0 means "nothing".
    Lsn
}
counter! {
    /// Version of a partition's configuration; every change adds one and names the version it expects.
    ConfigurationVersion
}
counter! {
    /// Number of a partition's life: grows only when every copy of it was lost. At most 20 bits are used.
    Generation
}
counter! {
    /// Identity of a replica's storage: an emptied or doubtful store is a different replica.
    Incarnation
}
counter! {
    /// Number of one run of a task; the first is 1.
    AttemptNumber
}
counter! {
    /// Position in the control plane's (Raft's) log up to which a member has applied cluster state.
    ControlIndex
}
counter! {
    /// Random number that names one process start of a member. Zero means "never started".
    StartNonce
}
