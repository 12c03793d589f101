//! Receipts: the answers to submits.

use ringhold_types::{ClusterId, MemberId, Receipt, Term};

use super::executor::{persistence_from_number, persistence_number};
use super::{ConversionError, required};
use crate::task_id::StatedTaskId;
use crate::v1;

/// A receipt as it is sent: with the cluster, the members' names, and whether a retry is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedReceipt {
    /// What is stored, and where.
    pub receipt: Receipt,
    /// The cluster that stored it; absent only in answers of members that do not say.
    pub cluster: Option<ClusterId>,
    /// Names of `receipt.members`, in their order; empty where a name is not known.
    pub member_names: Vec<String>,
    /// Whether the caller gave the idempotency key.
    pub retry_safe: bool,
}

impl StatedReceipt {
    /// A receipt with the names that `name_of` knows.
    #[must_use]
    pub fn new(
        receipt: Receipt,
        cluster: ClusterId,
        name_of: impl Fn(MemberId) -> Option<String>,
        retry_safe: bool,
    ) -> Self {
        let names = receipt.members.iter();
        Self {
            member_names: names.map(|id| name_of(*id).unwrap_or_default()).collect(),
            receipt,
            cluster: Some(cluster),
            retry_safe,
        }
    }
}

impl From<&StatedReceipt> for v1::Receipt {
    fn from(stated: &StatedReceipt) -> Self {
        let receipt = &stated.receipt;
        let name = |position| stated.member_names.get(position).cloned();
        Self {
            id: Some(v1::TaskId::from(&StatedTaskId {
                cluster: stated.cluster,
                id: receipt.id.clone(),
            })),
            term: receipt.term.get(),
            members: (receipt.members.iter().enumerate())
                .map(|(position, member)| v1::ReceiptMember {
                    id: member.0,
                    name: name(position).unwrap_or_default(),
                })
                .collect(),
            copies: receipt.copies().0,
            persistence: persistence_number(receipt.persistence),
            reused: receipt.reused,
            retry_safe: stated.retry_safe,
        }
    }
}

impl TryFrom<v1::Receipt> for StatedReceipt {
    type Error = ConversionError;

    fn try_from(message: v1::Receipt) -> Result<Self, Self::Error> {
        let stated = StatedTaskId::try_from(required("receipt.id", message.id)?)?;
        let (members, member_names): (Vec<_>, Vec<_>) = (message.members.into_iter())
            .map(|member| (MemberId(member.id), member.name))
            .unzip();
        let receipt = Receipt {
            id: stated.id,
            term: Term(message.term),
            members,
            persistence: persistence_from_number(message.persistence)?.ok_or(
                ConversionError::Missing {
                    field: "receipt.persistence",
                },
            )?,
            reused: message.reused,
        };
        if receipt.copies().0 != message.copies {
            return Err(ConversionError::Contradiction {
                first: "receipt.copies",
                second: "receipt.members",
            });
        }
        Ok(Self {
            receipt,
            cluster: stated.cluster,
            member_names,
            retry_safe: message.retry_safe,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_types::Persistence;

    fn stated() -> StatedReceipt {
        let receipt = Receipt {
            id: "reports/113/9812".parse().expect("well formed"),
            term: Term(7),
            members: vec![MemberId(1), MemberId(2)],
            persistence: Persistence::Fsync,
            reused: true,
        };
        let name_of = |id| (id == MemberId(1)).then(|| "m1".to_owned());
        StatedReceipt::new(receipt, ClusterId(9), name_of, true)
    }

    #[test]
    fn a_receipt_comes_back_as_it_was_sent() {
        let message = v1::Receipt::from(&stated());
        assert_eq!(message.copies, 2);
        assert_eq!(message.members[1].name, "");
        assert_eq!(StatedReceipt::try_from(message), Ok(stated()));
    }

    #[test]
    fn a_receipt_that_counts_other_copies_than_it_names_is_refused() {
        let message = v1::Receipt {
            copies: 3,
            ..v1::Receipt::from(&stated())
        };
        assert!(matches!(
            StatedReceipt::try_from(message),
            Err(ConversionError::Contradiction { .. })
        ));
    }
}
