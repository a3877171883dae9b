//! What the agent remembers of the client across restarts: one file, replaced as a whole. It holds
//! ids and keyed digests, and never a secret.

use omni_scale_proto::v1;
use serde::{Deserialize, Serialize};

use crate::record::{FORMAT, Record};

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRecord {
    format: u32,
    /// A registration whose end is not written down: the issuer may have a client whose secret
    /// nobody has.
    pub attempt: Option<Attempt>,
    /// What was registered last, and is in force while its digests are those of what is stored.
    pub registered: Option<Registration>,
    /// What was registered before that, and may still be at its issuer.
    pub former: Option<Former>,
    /// Since the last registration nobody has looked for other clients of ours at the issuer.
    pub unswept: bool,
    /// The last login that gave what Omni needs.
    pub proven: Option<Proof>,
}

impl Default for ClientRecord {
    fn default() -> Self {
        Self {
            format: FORMAT,
            attempt: None,
            registered: None,
            former: None,
            unswept: false,
            proven: None,
        }
    }
}

impl ClientRecord {
    /// All ids of clients that issuers gave to this agent. They stand in addresses of logins, and
    /// are no secrets.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let open = self.attempt.as_ref();
        let answer = open.and_then(|open| open.answer.as_ref());
        let registered = [answer, self.registered.as_ref()].into_iter().flatten();
        let former = self.former.as_ref().map(|former| &*former.id);
        registered
            .map(|registration| &*registration.id)
            .chain(former)
    }
}

/// A registration that was begun. On the disk before the issuer is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// For which client.
    pub client: v1::Client,
    /// When, in milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
    /// What the issuer answered. On the disk before any of it is stored, so that what is stored
    /// can be told from what somebody set.
    pub answer: Option<Registration>,
}

/// A client that this agent registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// As it was asked for.
    pub client: v1::Client,
    /// Its id at the issuer.
    pub id: String,
    /// Keyed digest of the id, as [`crate::secrets::Secrets`] gives it for its name.
    pub id_digest: String,
    /// Keyed digest of the secret.
    pub secret_digest: String,
}

/// A client that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Former {
    /// As it was asked for.
    pub client: v1::Client,
    /// Its id at the issuer.
    pub id: String,
}

/// A login was seen to give what Omni needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// With which client.
    pub client_id: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_milliseconds: i64,
    /// Whose it was.
    pub email: String,
}

/// The record on the disk, and in memory for readers.
pub type ClientRecords = Record<ClientRecord>;

/// Its file.
pub(super) const FILE: &str = "client.json";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use omni_scale_noise::{Dice, damaged_bytes, damaged_json, hold_against};

    use super::*;
    use crate::record::decode;

    fn full() -> ClientRecord {
        let client = v1::Client {
            issuer: "https://tsidp.tail.test".to_owned(),
            ..v1::Client::default()
        };
        let registration = Registration {
            client: client.clone(),
            id: "ab".repeat(16),
            id_digest: "cd".repeat(32),
            secret_digest: "ef".repeat(32),
        };
        ClientRecord {
            attempt: Some(Attempt {
                client: client.clone(),
                at_milliseconds: 7,
                answer: Some(registration.clone()),
            }),
            registered: Some(registration),
            former: Some(Former {
                client,
                id: "01".repeat(16),
            }),
            unswept: true,
            proven: Some(Proof {
                client_id: "ab".repeat(16),
                at_milliseconds: 8,
                email: "ada@example.net".to_owned(),
            }),
            ..ClientRecord::default()
        }
    }

    #[test]
    fn noise_in_the_record_is_damage() {
        let good = serde_json::to_value(full()).unwrap();
        let make = |dice: &mut Dice| {
            let record = serde_json::to_vec(&damaged_json(dice, &good)).unwrap();
            if dice.once_in(4) {
                damaged_bytes(dice, &record)
            } else {
                record
            }
        };
        hold_against("records of the client", make, |record| {
            let _ = decode::<ClientRecord>(Path::new(FILE), record);
        });
    }

    #[test]
    fn all_of_it_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let records = ClientRecords::open(directory.path(), FILE).unwrap();
        records.update(|record| *record = full()).unwrap();
        let again = ClientRecords::open(directory.path(), FILE).unwrap();
        assert_eq!(again.get(), full());
    }
}
