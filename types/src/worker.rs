//! Workers, the handlers they have, and the slots that attempts take.

/// Random name of one process start of a worker: after a restart it is another worker, which holds no attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

impl std::fmt::Display for WorkerId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// A worker as it stands with an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerRef {
    /// Which one.
    pub id: WorkerId,
    /// Its name for people, at most [`crate::limits::WORKER_NAME_BYTES_MAX`] bytes.
    pub name: Box<str>,
}

/// A place in a pool, from 0 to pool-size − 1; the lowest free one is taken first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotNumber(pub u16);

impl std::fmt::Display for SlotNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A handler as a task wants it, or as a member or worker has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerKey {
    /// Its name.
    pub name: Box<str>,
    /// Its version. A task without one takes any; a handler without one serves only such tasks.
    pub version: Option<Box<str>>,
}

impl HandlerKey {
    /// Whether this handler runs what asks for `wanted`.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        self.name == wanted.name && (wanted.version.is_none() || self.version == wanted.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: Option<&str>) -> HandlerKey {
        HandlerKey {
            name: name.into(),
            version: version.map(Into::into),
        }
    }

    #[test]
    fn a_handler_serves_its_name_in_any_version_or_in_the_one_that_is_asked_for() {
        let second = key("resize", Some("2"));
        assert!(second.serves(&key("resize", None)));
        assert!(second.serves(&key("resize", Some("2"))));
        assert!(!second.serves(&key("resize", Some("1"))));
        assert!(!second.serves(&key("render", None)));
        assert!(!key("resize", None).serves(&second));
        assert!(key("resize", None).serves(&key("resize", None)));
    }
}
