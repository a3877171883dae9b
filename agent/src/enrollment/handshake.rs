//! The handshake itself, as `host.proto` describes it, without its transport.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use omni_scale_proto::enrollment::{EnrollmentSecret, NONCE_LENGTH, TOKEN_ATTEMPTS};
use omni_scale_proto::role::HostRole;
use omni_scale_proto::v1;
use rand::RngCore as _;
use rustls_pki_types::UnixTime;

use super::token::{TokenError, TokenFile};
use crate::clock;
use crate::error::{Classified, Kind};
use crate::identity::{IdentityError, IdentityStore, Offer, Pending};

/// Why an enrolment does not go on. The agent is what it was before.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentError {
    /// No token can be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The caller does not know the secret, or somebody is in the middle.
    #[error("the proof of the enrolment token is wrong")]
    WrongProof,
    /// The messages came in another order than the contract's.
    #[error("expected {expected} next")]
    Order {
        /// What should have come.
        expected: &'static str,
    },
    /// The certificate was not taken.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Classified for EnrollmentError {
    fn kind(&self) -> Kind {
        match self {
            Self::Token(TokenError::File(_)) => Kind::Fault,
            Self::Token(_) | Self::WrongProof => Kind::Forbidden,
            Self::Order { .. } => Kind::Invalid,
            Self::Identity(error) => error.kind(),
        }
    }
}

/// What the agent tells about its host once both sides know each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Contents of /etc/machine-id.
    pub machine_id: String,
    /// What the agent looks after.
    pub roles: BTreeSet<HostRole>,
    /// Semantic version of the agent.
    pub agent_version: String,
}

/// Enrols this agent.
#[derive(Debug)]
pub struct Enrollment {
    identities: Arc<IdentityStore>,
    tokens: TokenFile,
    facts: HostFacts,
    /// Attempts are counted one after the other.
    attempts: Arc<Mutex<()>>,
}

/// Both sides know each other; the certificate is to come. Dropping it changes nothing.
pub struct Session {
    identities: Arc<IdentityStore>,
    tokens: TokenFile,
    attempts: Arc<Mutex<()>>,
    secret: EnrollmentSecret,
    pending: Pending,
}

impl Enrollment {
    /// Enrolments of the agent with this identity.
    pub fn new(identities: Arc<IdentityStore>, tokens: TokenFile, facts: HostFacts) -> Self {
        Self {
            identities,
            tokens,
            facts,
            attempts: Arc::default(),
        }
    }

    /// Whether root has a token open now: only then a caller without a certificate has any business here. Blocks.
    pub fn is_open(&self) -> bool {
        self.tokens.is_open(clock::now_milliseconds())
    }

    /// Takes the caller's proof over the certificate that they were shown, and answers with the agent's and a signing
    /// request. Blocks.
    pub fn begin(
        &self,
        proof: &v1::EnrollProof,
        certificate: &[u8],
    ) -> Result<(v1::EnrollAnswer, Session), EnrollmentError> {
        let secret = {
            let _attempt = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            self.tokens.attempt(clock::now_milliseconds())?
        };
        if !secret.verify_caller(certificate, &proof.nonce, &proof.proof) {
            tracing::warn!(
                "an enrolment was tried with a wrong proof, of at most {TOKEN_ATTEMPTS}"
            );
            return Err(EnrollmentError::WrongProof);
        }
        let mut nonce = [0; NONCE_LENGTH];
        rand::rngs::OsRng.fill_bytes(&mut nonce);
        let pending = self.identities.prepare()?;
        let answer = v1::EnrollAnswer {
            nonce: nonce.to_vec(),
            proof: secret
                .agent_proof(certificate, &proof.nonce, &nonce)
                .to_vec(),
            certificate_signing_request: pending.signing_request.clone(),
            machine_id: self.facts.machine_id.clone(),
            roles: self.facts.roles.iter().map(ToString::to_string).collect(),
            agent_version: self.facts.agent_version.clone(),
        };
        let session = Session {
            identities: self.identities.clone(),
            tokens: self.tokens.clone(),
            attempts: self.attempts.clone(),
            secret,
            pending,
        };
        Ok((answer, session))
    }
}

impl Session {
    /// Takes the certificate, and uses the token up, which must still be the one of the proof. Blocks.
    pub fn finish(self, certificate: v1::EnrollCertificate) -> Result<(), EnrollmentError> {
        let offer = Offer::try_from(certificate)?;
        let now = UnixTime::now();
        self.identities.check(&self.pending, &offer, now)?;
        // Before the identity: a crash between the two costs a new token, and opens nothing twice.
        {
            let _attempt = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            self.tokens.consume(&self.secret)?;
        }
        self.identities.enroll(&self.pending, &offer, now)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::token::TokenFor;
    use crate::identity::testing::{Authority, Leaf, secret};

    struct Rig {
        directory: tempfile::TempDir,
        enrollment: Enrollment,
        identities: Arc<IdentityStore>,
    }

    impl Rig {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let identities = Arc::new(IdentityStore::open(directory.path()).unwrap());
            let facts = HostFacts {
                machine_id: "0123".to_owned(),
                roles: BTreeSet::from([HostRole::Omni]),
                agent_version: "0.1.0".to_owned(),
            };
            let tokens = TokenFile::in_directory(directory.path());
            let enrollment = Enrollment::new(identities.clone(), tokens, facts);
            Self {
                directory,
                enrollment,
                identities,
            }
        }

        fn open_token(&self, age_milliseconds: i64) {
            let now = clock::now_milliseconds() - age_milliseconds;
            let tokens = TokenFile::in_directory(self.directory.path());
            tokens
                .open(&secret(), TokenFor::Operator, now, None)
                .unwrap();
        }

        fn proof(&self, secret: &EnrollmentSecret) -> v1::EnrollProof {
            let nonce = vec![9; NONCE_LENGTH];
            let proof = secret.caller_proof(self.identities.current().leaf(), &nonce);
            v1::EnrollProof {
                nonce,
                proof: proof.to_vec(),
            }
        }

        fn begin(
            &self,
            secret: &EnrollmentSecret,
        ) -> Result<(v1::EnrollAnswer, Session), EnrollmentError> {
            self.enrollment
                .begin(&self.proof(secret), self.identities.current().leaf())
        }

        fn refused(&self, secret: &EnrollmentSecret) -> String {
            match self.begin(secret) {
                Ok(_) => panic!("the proof was taken"),
                Err(error) => error.to_string(),
            }
        }

        fn certificate(authority: &Authority, answer: &v1::EnrollAnswer) -> v1::EnrollCertificate {
            let leaf = authority.sign(&answer.certificate_signing_request, &Leaf::default());
            v1::EnrollCertificate {
                certificate_chain: vec![leaf.to_vec()],
                authority: authority.certificate.to_vec(),
                deployment_id: crate::operation::testing::deployment().to_string(),
                host_name: "omni".to_owned(),
            }
        }
    }

    fn wrong() -> EnrollmentSecret {
        EnrollmentSecret::new([8; 20])
    }

    #[test]
    fn who_knows_the_secret_enrols_the_agent_once() {
        let rig = Rig::new();
        rig.open_token(0);
        assert!(rig.enrollment.is_open());
        let before = rig.identities.current();
        let proof = rig.proof(&secret());
        let (answer, session) = rig.enrollment.begin(&proof, before.leaf()).unwrap();
        assert!(secret().verify_agent(before.leaf(), &proof.nonce, &answer.nonce, &answer.proof));
        assert_eq!(answer.roles, ["omni"]);
        session
            .finish(Rig::certificate(&Authority::new(), &answer))
            .unwrap();
        assert!(rig.identities.current().enrolled.is_some());
        assert!(!rig.enrollment.is_open());
        assert_eq!(
            rig.refused(&secret()),
            "no enrolment token is open on this host"
        );
    }

    #[test]
    fn of_two_who_know_the_secret_the_first_enrols_the_agent() {
        let rig = Rig::new();
        rig.open_token(0);
        let (first, second) = (rig.begin(&secret()), rig.begin(&secret()));
        let ((first, first_session), (second, second_session)) = (first.unwrap(), second.unwrap());
        let (owner, thief) = (Authority::new(), Authority::new());
        first_session
            .finish(Rig::certificate(&owner, &first))
            .unwrap();
        let refused = second_session.finish(Rig::certificate(&thief, &second));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "no enrolment token is open on this host"
        );
        let enrolled = rig.identities.current();
        assert_eq!(enrolled.authority(), Some(&*owner.certificate));
    }

    #[test]
    fn who_began_with_a_token_that_root_has_voided_does_not_enrol_and_uses_nothing_up() {
        let rig = Rig::new();
        rig.open_token(0);
        let (answer, session) = rig.begin(&secret()).unwrap();
        let tokens = TokenFile::in_directory(rig.directory.path());
        let now = clock::now_milliseconds();
        tokens
            .open(&wrong(), TokenFor::Operator, now, None)
            .unwrap();
        let refused = session.finish(Rig::certificate(&Authority::new(), &answer));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "another enrolment token was opened on this host meanwhile"
        );
        assert!(rig.enrollment.is_open());
        assert!(rig.identities.current().enrolled.is_none());
    }

    #[test]
    fn without_a_token_nobody_enrols() {
        let rig = Rig::new();
        assert_eq!(
            rig.refused(&secret()),
            "no enrolment token is open on this host"
        );
    }

    #[test]
    fn a_wrong_secret_is_refused() {
        let rig = Rig::new();
        rig.open_token(0);
        assert_eq!(
            rig.refused(&wrong()),
            "the proof of the enrolment token is wrong"
        );
        assert!(rig.begin(&secret()).is_ok());
    }

    #[test]
    fn the_sixth_attempt_is_refused_also_after_a_restart_and_with_the_right_secret() {
        let mut rig = Rig::new();
        rig.open_token(0);
        for _ in 0..5 {
            rig.refused(&wrong());
            let tokens = TokenFile::in_directory(rig.directory.path());
            let facts = rig.enrollment.facts.clone();
            rig.enrollment = Enrollment::new(rig.identities.clone(), tokens, facts);
        }
        assert!(
            rig.refused(&secret())
                .contains("was tried 5 times and is void")
        );
    }

    #[test]
    fn a_token_is_good_for_an_hour() {
        let rig = Rig::new();
        rig.open_token(3_590_000);
        assert!(rig.begin(&secret()).is_ok());
        rig.open_token(3_600_000);
        assert_eq!(rig.refused(&secret()), "the enrolment token has expired");
    }

    #[test]
    fn a_proof_over_another_certificate_is_refused() {
        let rig = Rig::new();
        rig.open_token(0);
        let nonce = vec![9; NONCE_LENGTH];
        let proof = secret()
            .caller_proof(b"the certificate of somebody in the middle", &nonce)
            .to_vec();
        let refused = rig.enrollment.begin(
            &v1::EnrollProof { nonce, proof },
            rig.identities.current().leaf(),
        );
        assert!(matches!(refused, Err(EnrollmentError::WrongProof)));
    }

    #[test]
    fn a_bad_certificate_leaves_the_token_for_another_attempt() {
        let rig = Rig::new();
        rig.open_token(0);
        let (answer, session) = rig.begin(&secret()).unwrap();
        let mut certificate = Rig::certificate(&Authority::new(), &answer);
        certificate.host_name = "idp".to_owned();
        assert!(session.finish(certificate).is_err());
        let (answer, session) = rig.begin(&secret()).unwrap();
        session
            .finish(Rig::certificate(&Authority::new(), &answer))
            .unwrap();
    }

    #[test]
    fn an_enrolled_agent_moves_to_another_deployment_only_by_a_new_token() {
        let rig = Rig::new();
        rig.open_token(0);
        let (answer, session) = rig.begin(&secret()).unwrap();
        session
            .finish(Rig::certificate(&Authority::new(), &answer))
            .unwrap();
        rig.refused(&secret());
        rig.open_token(0);
        let (answer, session) = rig.begin(&secret()).unwrap();
        let other = v1::EnrollCertificate {
            deployment_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            ..Rig::certificate(&Authority::new(), &answer)
        };
        session.finish(other).unwrap();
        let deployment = rig.identities.deployment();
        assert!(
            deployment
                .borrow()
                .unwrap()
                .to_string()
                .starts_with("00000000")
        );
    }
}
