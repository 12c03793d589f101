//! Who makes the cluster, and who joins it (PROTOCOL §6). Pure: answers come in, a decision goes out.
//!
//! A member with an empty directory initialises only when all listed members answered that they have no cluster, and only the
//! one with the lowest name does. It starts alone; the others find it and join, so no half-made cluster can exist.

use std::collections::BTreeMap;

use ringhold_types::{ClusterId, MemberId, StartNonce};

use super::error::ControlError;

/// How far an asked member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Empty directory, no cluster.
    NoCluster,
    /// On its way into one.
    Forming,
    /// In this one.
    Member(ClusterId),
}

/// What a member answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Who it is.
    pub(crate) member: MemberId,
    /// Its name.
    pub(crate) name: String,
    /// Where members reach it.
    pub(crate) address: String,
    /// The name of its cluster.
    pub(crate) cluster_name: String,
    /// How far it is.
    pub(crate) standing: Standing,
    /// The process start of ours that it knows to be on record; zero for none.
    pub(crate) recorded: StartNonce,
}

/// What each listed address answered, or why it did not.
pub(crate) type Answers = BTreeMap<String, Result<Answer, String>>;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker<'a> {
    /// This member.
    pub(crate) member: MemberId,
    /// Its name.
    pub(crate) name: &'a str,
    /// The name of the cluster.
    pub(crate) cluster_name: &'a str,
    /// The cluster that its directory belongs to.
    pub(crate) cluster: Option<ClusterId>,
    /// How many members begin a new cluster.
    pub(crate) expect: u32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the cluster.
    Initialise,
    /// Join the cluster of the member at this address.
    Join {
        /// The address.
        address: String,
    },
    /// Ask again, because of this.
    Wait(String),
}

/// Refuses answers of another cluster, with both names or ids.
pub(crate) fn check_cluster(asker: &Asker<'_>, answers: &Answers) -> Result<(), ControlError> {
    let mut cluster = asker.cluster;
    for (address, answer) in answers {
        let Ok(answer) = answer else { continue };
        if answer.cluster_name != asker.cluster_name {
            return Err(ControlError::OtherName {
                ours: asker.cluster_name.to_owned(),
                theirs: answer.cluster_name.clone(),
                address: address.clone(),
            });
        }
        if let Standing::Member(theirs) = answer.standing {
            let ours = *cluster.get_or_insert(theirs);
            if ours != theirs {
                return Err(ControlError::OtherCluster {
                    ours,
                    theirs,
                    address: address.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Refuses a directory of which others know a newer start than it does itself: a copy, or a restored backup. Its log and vote
/// are older than what it once promised, so it must not take part in Raft (PROTOCOL §5).
pub(crate) fn check_starts(own: &[StartNonce], answers: &Answers) -> Result<(), ControlError> {
    for (address, answer) in answers {
        let Ok(answer) = answer else { continue };
        if answer.recorded != StartNonce::ZERO && !own.contains(&answer.recorded) {
            return Err(ControlError::Refused {
                reason: format!(
                    "the member at {address} knows a start of this member that this data directory does not; it is a copy or a restored backup; stop the other process, or empty this directory so that it joins as a new member"
                ),
            });
        }
    }
    Ok(())
}

/// What a member without Raft state does next.
pub(crate) fn decide(asker: &Asker<'_>, answers: &Answers) -> Result<Step, ControlError> {
    check_cluster(asker, answers)?;
    let told = || {
        answers
            .iter()
            .filter_map(|(address, answer)| Some((address, answer.as_ref().ok()?)))
    };
    let mut others = told().filter(|(_, answer)| answer.member != asker.member);
    if let Some((address, _)) =
        others.find(|(_, answer)| matches!(answer.standing, Standing::Member(_)))
    {
        return Ok(Step::Join {
            address: address.clone(),
        });
    }
    if let Some(cluster) = asker.cluster {
        // A directory that was in a cluster never makes another one.
        return Ok(Step::Wait(format!(
            "no member of cluster {cluster} answers"
        )));
    }
    if let Some((address, _)) = answers.iter().find(|(_, answer)| answer.is_err()) {
        return Ok(Step::Wait(format!("{address} does not answer")));
    }
    let members: BTreeMap<MemberId, &str> = told()
        .map(|(_, answer)| (answer.member, answer.name.as_str()))
        .chain([(asker.member, asker.name)])
        .collect();
    check_names(&members)?;
    let count = members.len();
    let expected = usize::try_from(asker.expect).unwrap_or(usize::MAX);
    if count > expected {
        return Err(ControlError::Configuration(format!(
            "`expect` is {expected}, but `join` leads to {count} members; list exactly those that begin the cluster"
        )));
    }
    if count < expected {
        return Ok(Step::Wait(format!(
            "`expect` is {expected}, and {count} members are there"
        )));
    }
    let forming = told().find(|(_, answer)| {
        answer.member != asker.member && answer.standing != Standing::NoCluster
    });
    if let Some((_, answer)) = forming {
        return Ok(Step::Wait(format!(
            "{} is about to have a cluster",
            answer.name
        )));
    }
    let lowest = members.values().min().copied().unwrap_or(asker.name);
    if lowest == asker.name {
        Ok(Step::Initialise)
    } else {
        Ok(Step::Wait(format!("{lowest} is to initialise the cluster")))
    }
}

fn check_names(members: &BTreeMap<MemberId, &str>) -> Result<(), ControlError> {
    let mut seen = BTreeMap::new();
    for (id, name) in members {
        if let Some(other) = seen.insert(*name, id) {
            return Err(ControlError::Configuration(format!(
                "two members are named {name:?} (ids {other} and {id}); give each a name of its own"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(0xc1);

    fn asker(member: u64, name: &str, expect: u32) -> Asker<'_> {
        Asker {
            member: MemberId(member),
            name,
            cluster_name: "c",
            cluster: None,
            expect,
        }
    }

    fn answer(member: u64, name: &str, standing: Standing) -> (String, Result<Answer, String>) {
        let address = format!("{name}:1");
        let answer = Answer {
            member: MemberId(member),
            name: name.to_owned(),
            address: address.clone(),
            cluster_name: "c".to_owned(),
            standing,
            recorded: StartNonce::ZERO,
        };
        (address, Ok(answer))
    }

    fn silent(name: &str) -> (String, Result<Answer, String>) {
        (format!("{name}:1"), Err("connection refused".to_owned()))
    }

    #[test]
    fn only_the_lowest_name_initialises_and_only_when_all_answered_no_cluster() {
        let all: Answers = [
            answer(1, "a", Standing::NoCluster),
            answer(2, "b", Standing::NoCluster),
            answer(3, "c", Standing::NoCluster),
        ]
        .into();
        assert_eq!(
            decide(&asker(1, "a", 3), &all).expect("valid"),
            Step::Initialise
        );
        assert!(matches!(decide(&asker(2, "b", 3), &all), Ok(Step::Wait(_))));
        let mut one_silent = all.clone();
        one_silent.extend([silent("c")]);
        assert!(matches!(
            decide(&asker(1, "a", 3), &one_silent),
            Ok(Step::Wait(_))
        ));
        let mut one_forming = all;
        one_forming.extend([answer(3, "c", Standing::Forming)]);
        assert!(matches!(
            decide(&asker(1, "a", 3), &one_forming),
            Ok(Step::Wait(_))
        ));
    }

    #[test]
    fn a_member_alone_initialises_with_expect_one_and_waits_with_more() {
        assert_eq!(
            decide(&asker(1, "a", 1), &Answers::new()).expect("valid"),
            Step::Initialise
        );
        assert!(matches!(
            decide(&asker(1, "a", 2), &Answers::new()),
            Ok(Step::Wait(_))
        ));
    }

    #[test]
    fn an_emptied_member_joins_the_cluster_that_answers_even_if_others_are_silent() {
        let answers: Answers = [answer(2, "b", Standing::Member(CLUSTER)), silent("c")].into();
        let step = decide(&asker(1, "a", 3), &answers).expect("valid");
        assert_eq!(
            step,
            Step::Join {
                address: "b:1".to_owned()
            }
        );
    }

    #[test]
    fn a_directory_that_was_in_a_cluster_never_initialises() {
        let answers: Answers = [answer(2, "b", Standing::NoCluster)].into();
        let asker = Asker {
            cluster: Some(CLUSTER),
            ..asker(1, "a", 2)
        };
        assert!(matches!(decide(&asker, &answers), Ok(Step::Wait(_))));
    }

    #[test]
    fn another_cluster_is_refused_with_both_ids() {
        let answers: Answers = [answer(2, "b", Standing::Member(ClusterId(2)))].into();
        let asker = Asker {
            cluster: Some(CLUSTER),
            ..asker(1, "a", 2)
        };
        let error = decide(&asker, &answers)
            .expect_err("another cluster")
            .to_string();
        assert!(error.contains(&CLUSTER.to_string()), "{error}");
        assert!(error.contains(&ClusterId(2).to_string()), "{error}");
    }

    #[test]
    fn members_of_two_clusters_in_one_list_are_refused() {
        let answers: Answers = [
            answer(2, "b", Standing::Member(CLUSTER)),
            answer(3, "c", Standing::Member(ClusterId(2))),
        ]
        .into();
        assert!(matches!(
            decide(&asker(1, "a", 3), &answers),
            Err(ControlError::OtherCluster { .. })
        ));
    }

    #[test]
    fn a_directory_that_does_not_know_its_recorded_start_is_refused() {
        let (address, answer) = answer(2, "b", Standing::Member(CLUSTER));
        let recorded = StartNonce(5);
        let answers: Answers =
            [(address, answer.map(|answer| Answer { recorded, ..answer }))].into();
        assert!(check_starts(&[StartNonce(4), recorded], &answers).is_ok());
        let refused = check_starts(&[StartNonce(4)], &answers);
        assert!(matches!(refused, Err(ControlError::Refused { .. })));
    }

    #[test]
    fn more_members_than_expected_or_one_name_twice_are_refused() {
        let answers: Answers = [
            answer(2, "b", Standing::NoCluster),
            answer(3, "c", Standing::NoCluster),
        ]
        .into();
        assert!(matches!(
            decide(&asker(1, "a", 2), &answers),
            Err(ControlError::Configuration(_))
        ));
        let same_name: Answers = [answer(2, "a", Standing::NoCluster)].into();
        assert!(matches!(
            decide(&asker(1, "a", 2), &same_name),
            Err(ControlError::Configuration(_))
        ));
    }
}
