//! The work on the unit against models of systemd, the journal and the product.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use omni_scale_proto::id::Sha256;
use omni_scale_proto::unit::CheckedUnit;
use omni_scale_proto::v1::{self, FailureClass, VerificationStatus};
use tokio::time::Instant;

use crate::artifact::samples::{binary, put};
use crate::artifact::{ArtifactStore, Downloader};
use crate::config::Policy;
use crate::host_roots::HostRoots;
use crate::journal::{FakeJournal, JournalUnit};
use crate::operation::{Done, Failure, Reporter};
use crate::secrets::{SecretValue, Secrets};
use crate::unit::fake::{FakeIssuer, FakeUnits, Program};
use crate::unit::job::Job;
use crate::unit::tsidp::{TsidpParts, TsidpUnit};
use crate::unit::units::TSIDP_UNIT;

pub(crate) const ISSUER: &str = "https://tsidp.tail.test";
const ASKS_FOR_LOGIN: &str =
    "To start this tsnet server, restart with TS_AUTHKEY set, or go to: https://login.test/a/1";

/// A host with its foreign parts modelled.
pub(crate) struct Rig {
    directory: tempfile::TempDir,
    pub(crate) units: FakeUnits,
    pub(in crate::unit) issuer: FakeIssuer,
    pub(crate) journal: FakeJournal,
    secrets: Arc<Secrets>,
    programs: ArtifactStore,
    pub(crate) tsidp: Arc<TsidpUnit>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let units = FakeUnits::new(TSIDP_UNIT);
        let issuer = FakeIssuer::new(units.clone(), ISSUER);
        let journal = FakeJournal::default();
        let secrets = Arc::new(Secrets::open(&directory.path().join("secrets")).unwrap());
        let programs = ArtifactStore::new(directory.path().join("programs"));
        std::fs::create_dir(directory.path().join("tsidp")).unwrap();
        let tsidp = Self::open(&directory, &units, &issuer, &journal, &secrets, &programs);
        Self {
            directory,
            units,
            issuer,
            journal,
            secrets,
            programs,
            tsidp,
        }
    }

    fn open(
        directory: &tempfile::TempDir,
        units: &FakeUnits,
        issuer: &FakeIssuer,
        journal: &FakeJournal,
        secrets: &Arc<Secrets>,
        programs: &ArtifactStore,
    ) -> Arc<TsidpUnit> {
        let roots = HostRoots::in_file(directory.path().join("roots"));
        TsidpUnit::open(TsidpParts {
            units: Arc::new(units.clone()),
            journal: Arc::new(journal.clone()),
            issuer: Arc::new(issuer.clone()),
            programs: programs.clone(),
            downloader: Downloader::new(programs.clone(), roots),
            secrets: secrets.clone(),
            policy: Arc::new(Policy::default()),
            directory: directory.path().join("unit"),
            state_directory: directory.path().join("tsidp"),
        })
        .unwrap()
    }

    /// The agent is started anew: what it knew in memory is gone.
    pub(in crate::unit) fn restart_agent(&mut self) {
        self.tsidp = Self::open(
            &self.directory,
            &self.units,
            &self.issuer,
            &self.journal,
            &self.secrets,
            &self.programs,
        );
    }

    fn program(&self, body: &str) -> Sha256 {
        put(&self.programs, &binary(body)).unwrap()
    }

    fn set_key(&self, value: &str) {
        let value = SecretValue::new(value.as_bytes().to_vec());
        self.secrets.put(&"key".parse().unwrap(), &value).unwrap();
    }

    fn has_key(&self) -> bool {
        self.secrets.get(&"key".parse().unwrap()).is_some()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(in crate::unit) async fn apply(&self, unit: &CheckedUnit) -> Result<Done, Failure> {
        let deadline = Instant::now() + Duration::from_secs(60);
        self.tsidp.apply(unit, deadline, &Reporter::default()).await
    }

    /// A unit that was applied and does its work.
    pub(crate) async fn applied() -> (Self, CheckedUnit) {
        let rig = Self::new();
        let unit = unit(&rig.program("one"), &["-hostname", "tsidp"]);
        rig.apply(&unit).await.unwrap();
        (rig, unit)
    }
}

fn unit(program: &Sha256, arguments: &[&str]) -> CheckedUnit {
    CheckedUnit::try_from(v1::UnitConfiguration {
        artifact: Some(v1::Artifact {
            sha256: program.to_string(),
            url: String::new(),
        }),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        issuer: ISSUER.to_owned(),
        auth_key_secret: "key".to_owned(),
        ..v1::UnitConfiguration::default()
    })
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_time_the_unit_is_set_up_and_its_key_is_used_up() {
    let rig = Rig::new();
    rig.set_key("tskey-one");
    let unit = unit(&rig.program("one"), &["-hostname", "tsidp"]);
    let done = rig.apply(&unit).await.unwrap();
    assert_eq!(
        done.summary,
        format!("started `{TSIDP_UNIT}`; {ISSUER} answers")
    );
    assert_eq!(rig.units.jobs(), [Job::Start]);
    assert!(!rig.has_key());
    assert!(!rig.path("unit/tsidp-auth-key.env").exists());
    let observation = rig.tsidp.observe().await;
    assert!(observation.known && observation.node_known && !observation.drifted);
    assert_eq!(observation.applied.as_ref(), Some(unit.as_wire()));
    assert_eq!(observation.artifact_sha256, unit.artifact().as_str());
    let verification = observation.verification.unwrap();
    assert_eq!(verification.status(), VerificationStatus::Passed);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_runs_is_restarted_when_nothing_has_changed() {
    let (mut rig, unit) = Rig::applied().await;
    let before = rig.units.state();
    rig.apply(&unit).await.unwrap();
    rig.restart_agent();
    let done = rig.apply(&unit).await.unwrap();
    assert!(done.summary.contains("left as it is"), "{}", done.summary);
    assert_eq!(rig.units.jobs(), [Job::Start]);
    assert_eq!(rig.units.state(), before);
}

#[tokio::test(start_paused = true)]
async fn a_change_restarts_the_unit_once_and_the_program_before_is_kept() {
    let (rig, first) = Rig::applied().await;
    let oldest = first.artifact().clone();
    let arguments = ["-hostname", "idp"];
    rig.apply(&unit(&oldest, &arguments)).await.unwrap();
    let second = rig.program("two");
    rig.apply(&unit(&second, &arguments)).await.unwrap();
    let third = rig.program("three");
    rig.apply(&unit(&third, &arguments)).await.unwrap();
    assert_eq!(
        rig.units.jobs(),
        [Job::Start, Job::Restart, Job::Restart, Job::Restart]
    );
    let observation = rig.tsidp.observe().await;
    assert_eq!(observation.previous_artifact_sha256, second.as_str());
    let held = [&oldest, &second, &third].map(|sum| rig.programs.holds(sum).unwrap());
    assert_eq!(held, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_between_writing_and_restarting_restarts_once_afterwards() {
    let (mut rig, first) = Rig::applied().await;
    let changed = unit(first.artifact(), &["-hostname", "idp"]);
    let rendered = crate::unit::configuration::render(&changed).unwrap();
    rig.tsidp
        .prepare(&changed, rendered, &Reporter::default())
        .await
        .unwrap();
    rig.restart_agent();
    assert!(rig.tsidp.observe().await.drifted);
    rig.apply(&changed).await.unwrap();
    rig.apply(&changed).await.unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start, Job::Restart]);
    assert!(!rig.tsidp.observe().await.drifted);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_after_the_restart_does_not_restart_again() {
    let (mut rig, first) = Rig::applied().await;
    let changed = unit(first.artifact(), &["-hostname", "idp"]);
    let rendered = crate::unit::configuration::render(&changed).unwrap();
    let reporter = Reporter::default();
    rig.tsidp
        .prepare(&changed, rendered, &reporter)
        .await
        .unwrap();
    // The job is done, and the agent dies before it writes that down.
    rig.units.somebody_runs(Job::Restart);
    rig.restart_agent();
    rig.apply(&changed).await.unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start]);
    assert!(!rig.tsidp.observe().await.drifted);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_on_the_disk_is_drift_and_is_put_right() {
    let (rig, unit) = Rig::applied().await;
    let environment = rig.path("unit/tsidp.env");
    crate::files::write_atomically(&environment, b"TSIDP_ARGS=\"-funnel\"\n", 0o600).unwrap();
    assert!(rig.tsidp.observe().await.drifted);
    rig.apply(&unit).await.unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start, Job::Restart]);
    assert!(!rig.tsidp.observe().await.drifted);
    rig.units.somebody_runs(Job::Stop);
    rig.apply(&unit).await.unwrap();
    assert_eq!(rig.units.jobs().last(), Some(&Job::Start));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_keeps_ending_is_a_failure_with_its_last_words() {
    let rig = Rig::new();
    rig.units
        .change(|model| model.program = Program::Dies { status: 2 });
    rig.journal.say(
        JournalUnit::Tsidp,
        "flag provided but not defined: -nonsense",
    );
    let unit = unit(&rig.program("one"), &["-nonsense"]);
    let failure = rig.apply(&unit).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.message.contains("restarted 2 times"), "{failure}");
    assert!(failure.message.contains("status 2"), "{failure}");
    assert!(failure.evidence[0].contains("-nonsense"));
    assert_eq!(rig.tsidp.observe().await.applied, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_tailnet_refuses_is_named_as_the_thing_to_replace() {
    let rig = Rig::new();
    rig.units
        .change(|model| model.program = Program::Dies { status: 1 });
    rig.journal
        .say(JournalUnit::Tsidp, "tsnet.Up: backend: invalid authkey");
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert!(failure.hint.unwrap().contains("one-time key"));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_gives_up_is_started_anew_by_the_next_apply() {
    let (rig, first) = Rig::applied().await;
    rig.units.change(|model| {
        model.die(1);
        model.give_up();
    });
    rig.apply(&first).await.unwrap();
    let calls = rig.units.calls();
    assert!(calls.contains(&crate::unit::fake::Call::ResetFailed));
    assert_eq!(rig.units.jobs(), [Job::Start, Job::Start]);
}

#[tokio::test(start_paused = true)]
async fn without_the_unit_nothing_is_written() {
    let rig = Rig::new();
    rig.units.change(|model| model.installed = false);
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert!(failure.message.contains("not-found"), "{failure}");
    assert!(!rig.path("unit/tsidp.env").exists());
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_not_the_packages_is_left_alone() {
    let rig = Rig::new();
    let file = "/etc/systemd/system/tsidp.service";
    rig.units
        .change(|model| model.shadowed_by = Some(file.into()));
    let program = rig.program("one");
    let failure = rig.apply(&unit(&program, &[])).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.message.contains(file), "{failure}");
    assert!(failure.hint.unwrap().contains("daemon-reload"));
    assert!(!rig.path("unit/tsidp.env").exists());
    assert!(rig.units.jobs().is_empty());
    rig.units.change(|model| model.shadowed_by = None);
    rig.apply(&unit(&program, &[])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_nowhere_is_refused_before_anything_is_changed() {
    let (rig, _) = Rig::applied().await;
    let missing = unit(&Sha256::of(b"nowhere"), &[]);
    let failure = rig.apply(&missing).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused);
    assert!(!rig.tsidp.observe().await.drifted);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_says_what_was_waited_for() {
    let rig = Rig::new();
    rig.issuer.answer_as(None);
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.message.contains("nobody answers as"), "{failure}");
    assert!(failure.message.contains("active (running)"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_ask_is_not_a_product_that_answers() {
    let rig = Rig::new();
    rig.issuer.cannot_be_asked(Some("no nameserver"));
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert!(failure.message.contains("no nameserver"), "{failure}");
    let verification = rig.tsidp.observe().await.verification;
    assert_eq!(
        verification.unwrap_or_default().status(),
        VerificationStatus::Unknown
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_goes_on_while_the_bus_is_away() {
    let rig = Rig::new();
    rig.issuer.answer_as(None);
    let unit = unit(&rig.program("one"), &[]);
    let work = rig.apply(&unit);
    let world = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        rig.units.lose("the bus is restarted");
        tokio::time::sleep(Duration::from_secs(5)).await;
        rig.issuer.answer_as(Some(ISSUER));
        rig.units.find();
    };
    let (done, ()) = tokio::join!(work, world);
    done.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_device_holds_is_told_as_such() {
    let rig = Rig::new();
    rig.issuer.answer_as(Some("https://tsidp-1.tail.test"));
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(
        failure
            .message
            .contains("serves as https://tsidp-1.tail.test"),
        "{failure}"
    );
    assert!(failure.hint.unwrap().contains("admin console"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_name_is_found_although_it_has_no_certificate_yet() {
    let rig = Rig::new();
    rig.issuer.answer_as(None);
    rig.journal.say(
        JournalUnit::Tsidp,
        "Running tsidp at https://tsidp-1.tail.test ...",
    );
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert!(failure.message.contains("another device"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_request_for_a_login_is_the_evidence() {
    let rig = Rig::new();
    rig.issuer.answer_as(None);
    rig.journal.say(JournalUnit::Tsidp, ASKS_FOR_LOGIN);
    let failure = rig
        .apply(&unit(&rig.program("one"), &[]))
        .await
        .unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert_eq!(failure.evidence, [ASKS_FOR_LOGIN]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_key_has_expired_is_given_the_new_one() {
    let (rig, unit) = Rig::applied().await;
    rig.issuer.answer_as(None);
    rig.journal.say(JournalUnit::Tsidp, ASKS_FOR_LOGIN);
    let failure = rig.apply(&unit).await.unwrap_err();
    assert!(
        failure.message.contains("had logged in before"),
        "{failure}"
    );
    assert_eq!(rig.units.jobs(), [Job::Start]);
    rig.set_key("tskey-two");
    let work = rig.apply(&unit);
    let world = async {
        // The program is started with the key, and logs in.
        let mut sightings = crate::unit::units::Units::watch(&rig.units, TSIDP_UNIT);
        let run = rig.units.state().invocation;
        let restarted = |sighting: &crate::unit::units::Sighting| matches!(sighting, crate::unit::units::Sighting::Known(state) if state.invocation != run);
        sightings.wait_for(restarted).await.unwrap();
        assert!(rig.path("unit/tsidp-auth-key.env").exists());
        rig.journal.say(JournalUnit::Tsidp, "tsidp server started");
        rig.issuer.answer_as(Some(ISSUER));
    };
    let (done, ()) = tokio::join!(work, world);
    done.unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start, Job::Restart]);
    assert!(!rig.has_key() && !rig.path("unit/tsidp-auth-key.env").exists());
}

#[tokio::test(start_paused = true)]
async fn other_roots_are_verified_with_and_nothing_is_restarted() {
    let (rig, unit) = Rig::applied().await;
    let mut wire = unit.as_wire().clone();
    wire.extra_roots_pem = "another".to_owned();
    rig.apply(&CheckedUnit::try_from(wire.clone()).unwrap())
        .await
        .unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start]);
    assert_eq!(
        rig.tsidp.observe().await.applied.unwrap().extra_roots_pem,
        "another"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_set_for_later_stays() {
    let (rig, first) = Rig::applied().await;
    rig.set_key("tskey-later");
    rig.apply(&unit(first.artifact(), &["-enable-sts"]))
        .await
        .unwrap();
    assert!(rig.has_key());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_not_be_used_up_is_by_the_next_apply() {
    let rig = Rig::new();
    rig.set_key("tskey-one");
    let unit = unit(&rig.program("one"), &["-hostname", "tsidp"]);
    let in_the_way = rig.path("secrets/.key.new");
    std::fs::create_dir(&in_the_way).unwrap();
    rig.apply(&unit).await.unwrap_err();
    assert!(rig.has_key());
    std::fs::remove_dir(&in_the_way).unwrap();
    rig.apply(&unit).await.unwrap();
    assert!(!rig.has_key() && !rig.path("unit/tsidp-auth-key.env").exists());
    assert_eq!(rig.units.jobs(), [Job::Start]);
}

#[tokio::test(start_paused = true)]
async fn a_known_node_without_its_state_is_not_started_under_another_name() {
    let (rig, unit) = Rig::applied().await;
    rig.units.somebody_runs(Job::Stop);
    std::fs::remove_dir(rig.path("tsidp")).unwrap();
    let failure = rig.apply(&unit).await.unwrap_err();
    assert!(failure.message.contains("identity"), "{failure}");
    assert_eq!(rig.units.jobs(), [Job::Start]);
    // The operator decides for a new login.
    rig.set_key("tskey-new");
    rig.apply(&unit).await.unwrap();
    assert_eq!(rig.units.jobs(), [Job::Start, Job::Start]);
}
