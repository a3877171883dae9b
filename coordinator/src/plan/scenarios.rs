//! Scenarios: a deployment, what is there, and the plan that comes out, as text. Each is a file
//! `scenarios/NAME.toml` beside its golden `scenarios/NAME.snap`, and one test.

use std::fmt::Write as _;

use omni_scale_proto::v1;
use serde::Deserialize;

use super::desired::{Desired, DesiredIdentity};
use super::examples::{self, host};
use super::{Choices, DesiredGroup, Plan, PlanError, Scope, Wave, plan};
use crate::agents::fake::{FakeAgents, MachineModel, World};
use crate::rollout::{WallClock, observe};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows; for readers.
    #[expect(dead_code, reason = "it is the file's heading")]
    title: String,
    start: Start,
    #[serde(default)]
    machines: Machines,
    #[serde(default)]
    remove_orphans: bool,
    #[serde(default)]
    given: Vec<Given>,
}

/// What is there before anything is changed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Start {
    /// Hosts with agents and secrets.
    Nothing,
    /// Everything, as the deployment wants it.
    Running,
}

/// Which machines the deployment declares.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Machines {
    /// None.
    #[default]
    None,
    /// Control planes, and nothing that becomes a host.
    ControlPlanes,
    /// Control planes, and the host `omni`.
    Hosts,
}

impl Machines {
    fn desired(self) -> Desired {
        match self {
            Self::None => examples::desired(),
            Self::ControlPlanes => examples::with_control_planes(),
            Self::Hosts => examples::with_machines(),
        }
    }
}

/// What is different from the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
enum Given {
    /// The deployment names another image, which the registry has.
    Image { service: String, reference: String },
    /// The deployment names another image, which the registry does not have.
    MissingImage { service: String, reference: String },
    /// The tag that is running points to another digest now.
    TagMoved { service: String },
    /// The deployment gives another variable to a service.
    Variable {
        service: String,
        name: String,
        value: String,
    },
    /// The deployment gives the sidecar's node another name.
    NodeName { name: String },
    /// The deployment wants another program.
    Program { digit: char },
    /// The deployment has no such service any more.
    ServiceDropped { service: String },
    /// The issuer is somebody else's.
    ExternalIssuer { issuer: String },
    /// The deployment gives a volume another name at the Engine.
    VolumeRenamed { name: String, engine_name: String },
    /// The deployment gives a network another name at the Engine.
    NetworkRenamed { name: String, engine_name: String },
    /// The deployment wants a network to be internal.
    NetworkInternal { name: String },
    /// The deployment trusts other certificates.
    RootsChanged { pem: String },
    /// The ledger of an agent is damaged.
    LedgerDamaged { host: String, damage: String },
    /// A secret has another value.
    SecretChanged { host: String, name: String },
    /// A secret was never set.
    SecretMissing { host: String, name: String },
    /// An agent cannot be reached.
    Unreachable { host: String },
    /// An agent has no certificate.
    NotEnrolled { host: String },
    /// An agent belongs to somebody else.
    OtherDeployment { host: String },
    /// An agent speaks only other versions.
    ApiVersion {
        host: String,
        minimum: u32,
        maximum: u32,
    },
    /// An agent has no such role.
    RoleMissing { host: String },
    /// A clock is wrong.
    ClockOff { host: String, seconds: i64 },
    /// Both hosts are one machine.
    SameMachine,
    /// Both hosts are one node.
    SameNode,
    /// The Engine does not answer.
    EngineDown,
    /// Somebody edited what the agent had written.
    Drifted,
    /// The unit does not run.
    UnitStopped,
    /// A container does not run.
    ContainerStopped { service: String },
    /// The sidecar is gone, and so is the volume with its node's state.
    SidecarLost,
    /// The unit's node is not known any more.
    UnitNodeLost,
    /// A secret was a one-time key, and has done its work.
    SecretUsed { host: String, name: String },
    /// A container that no service names.
    Orphan { service: String },
    /// A container of the stack's name that others made.
    Foreign { name: String },
    /// An operation still runs.
    Running { host: String, target: String },
    /// An operation's end is not known.
    OutcomeUnknown { host: String, target: String },
    /// A node of the cluster is away.
    NodeOffline { node: String },
    /// The cluster does not answer.
    ClusterDown { reason: String },
    /// Somebody else has a VMID.
    VmidTaken { vmid: u32 },
    /// The deployment allows VMIDs only up to this one.
    LastVmid { vmid: u32 },
    /// The deployment gives the machines of a group another number of cores.
    Cores { group: String, cores: u32 },
    /// The deployment pins a group to a node.
    Pinned { group: String, node: String },
    /// A machine does not run.
    MachineStopped { name: String },
    /// A machine was deleted.
    MachineDeleted { name: String },
    /// The creation of a machine has begun and not ended.
    MachineBegun { name: String },
    /// A machine was made, and its first boot is not over.
    FirstBoot { name: String },
    /// A creation left something half-made.
    Stub { node: String, vmid: u32 },
    /// Somebody holds a lease.
    Leased { host: String, holder: String },
}

#[derive(Debug)]
struct FakeClock(FakeAgents);

impl WallClock for FakeClock {
    fn now_milliseconds(&self) -> i64 {
        self.0.now_milliseconds()
    }
}

impl Given {
    fn wish(&self, desired: &mut Desired) {
        match self {
            Self::Image {
                service: name,
                reference,
            }
            | Self::MissingImage {
                service: name,
                reference,
            } => {
                service_of(desired, name).image.clone_from(reference);
            }
            Self::Variable {
                service: name,
                name: variable,
                value,
            } => {
                let part = Some(v1::segment::Part::Literal(value.clone()));
                service_of(desired, name)
                    .environment
                    .push(v1::EnvironmentVariable {
                        name: variable.clone(),
                        value: Some(v1::Text {
                            segments: vec![v1::Segment { part }],
                        }),
                    });
            }
            Self::NodeName { name } => {
                let variables = &mut service_of(desired, "omni-tailscale").environment;
                let part = Some(v1::segment::Part::Literal(name.clone()));
                variables[0].value = Some(v1::Text {
                    segments: vec![v1::Segment { part }],
                });
            }
            Self::VolumeRenamed { name, engine_name } => {
                let mut volumes = desired.stack.stack.volumes.iter_mut();
                let volume = volumes.find(|volume| volume.name == *name).unwrap();
                volume.engine_name.clone_from(engine_name);
            }
            Self::NetworkRenamed { name, engine_name } => {
                network_of(desired, name)
                    .engine_name
                    .clone_from(engine_name);
            }
            Self::NetworkInternal { name } => network_of(desired, name).internal = true,
            Self::RootsChanged { pem } => {
                desired.extra_roots_pem.clone_from(pem);
                if let DesiredIdentity::Tsidp { configuration, .. } = &mut desired.identity {
                    configuration.extra_roots_pem.clone_from(pem);
                }
            }
            Self::Program { digit } => {
                if let DesiredIdentity::Tsidp { configuration, .. } = &mut desired.identity {
                    configuration.artifact.as_mut().unwrap().sha256 = examples::sum(*digit);
                }
            }
            Self::ServiceDropped { service } => {
                let services = &mut desired.stack.stack.services;
                services.retain(|other| other.name != *service);
                let stack = &mut desired.stack;
                stack.provider = stack.provider.take().filter(|one| one.as_str() != service);
            }
            Self::ExternalIssuer { issuer } => {
                desired.identity = DesiredIdentity::External {
                    issuer: issuer.clone(),
                };
                desired.hosts.remove(&host("idp"));
                desired.secrets.retain(|secret| secret.host != host("idp"));
            }
            Self::LastVmid { vmid } => {
                let machines = desired.machines.as_mut().unwrap();
                machines.vmids.last = *vmid;
                for machine in machines
                    .groups
                    .iter_mut()
                    .flat_map(|group| &mut group.machines)
                {
                    machine.vmid_range = Some(machines.vmids);
                }
            }
            Self::Cores { group, cores } => {
                for machine in &mut group_of(desired, group).machines {
                    machine.cores = *cores;
                }
            }
            Self::Pinned { group, node } => {
                group_of(desired, group).nodes.insert(node.clone());
            }
            _ => {}
        }
    }

    fn happen(&self, agents: &FakeAgents) {
        let mut world = agents.world();
        match self {
            Self::Image { reference, .. } => {
                let sum = omni_scale_proto::id::Sha256::of(reference.as_bytes());
                let resolved = format!("{reference}@sha256:{sum}");
                let registry = &mut world.host("omni").registry;
                registry.insert(reference.clone(), resolved);
            }
            Self::TagMoved { service } => {
                let registry = &mut world.host("omni").registry;
                let tags = registry.iter_mut();
                for (tag, resolved) in tags.filter(|(tag, _)| tag.contains(service)) {
                    *resolved = format!("{tag}@sha256:{}", examples::sum('9'));
                }
            }
            Self::LedgerDamaged { host, damage } => world.host(host).damage.clone_from(damage),
            Self::SecretChanged { host, name } => world.host(host).set_secret(name),
            Self::SecretMissing { host, name } => drop(world.host(host).secrets.remove(name)),
            Self::Unreachable { host } => world.host(host).reachable = false,
            Self::NotEnrolled { host } => world.host(host).deployment = None,
            Self::OtherDeployment { host } => {
                let other = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b".parse().unwrap();
                world.host(host).deployment = Some(other);
            }
            Self::ApiVersion {
                host,
                minimum,
                maximum,
            } => {
                world.host(host).api_versions = (*minimum, *maximum);
            }
            Self::RoleMissing { host } => world.host(host).roles.clear(),
            Self::ClockOff { host, seconds } => {
                world.host(host).clock_offset_milliseconds = seconds * 1000;
            }
            Self::SameMachine => {
                world.host("idp").machine_id = "c0ffee".to_owned();
                world.host("omni").machine_id = "c0ffee".to_owned();
            }
            Self::SameNode => {
                let node = world.host("idp").node_id.clone();
                world.host("omni").node_id = node;
            }
            Self::EngineDown => {
                world.host("omni").stack.engine_fault = "the Engine does not answer".to_owned();
            }
            Self::Drifted => world.host("idp").unit.drifted = true,
            Self::UnitStopped => world.host("idp").unit.active = false,
            Self::ContainerStopped { service } => {
                let containers = &mut world.host("omni").stack.containers;
                containers.get_mut(service).unwrap().state = v1::ContainerState::Exited;
            }
            Self::SidecarLost => {
                let stack = &mut world.host("omni").stack;
                stack.containers.remove("omni-tailscale");
                stack.volumes.clear();
            }
            Self::UnitNodeLost => world.host("idp").unit.node_known = false,
            Self::SecretUsed { host, name } => {
                let secrets = &mut world.host(host).secrets;
                secrets.get_mut(name).unwrap().consumed = true;
            }
            Self::Orphan { service } => {
                let stack = &mut world.host("omni").stack;
                let mut container = stack.containers["omni"].clone();
                container.id = "container-99".to_owned();
                container.service.name.clone_from(service);
                stack.containers.insert(service.clone(), container);
            }
            Self::Foreign { name } => {
                world.host("omni").stack.foreign.push(v1::ContainerSummary {
                    container_id: "f00d".to_owned(),
                    container_name: name.clone(),
                    ..v1::ContainerSummary::default()
                });
            }
            Self::Running { host, target } => {
                let targets = &mut world.host(host).targets;
                targets.entry(target.clone()).or_default().pretend_running();
            }
            Self::OutcomeUnknown { host, target } => {
                let targets = &mut world.host(host).targets;
                let target = targets.entry(target.clone()).or_default();
                target.pretend_running();
                target.interrupt();
            }
            Self::Leased { host, holder } => world.host(host).lease_to(holder, "another"),
            _ => happen_to_machines(self, &mut world),
        }
    }
}

fn happen_to_machines(given: &Given, world: &mut World) {
    match given {
        Given::NodeOffline { node } => {
            let mut nodes = world.host("idp").machines.nodes.iter_mut();
            nodes.find(|one| one.name == *node).unwrap().online = false;
        }
        Given::ClusterDown { reason } => {
            world.host("idp").machines.fault.clone_from(reason);
        }
        Given::VmidTaken { vmid } => {
            world.host("idp").machines.foreign.insert(*vmid);
        }
        Given::MachineStopped { name } => {
            "stopped".clone_into(&mut machine_of(world, name).status);
        }
        Given::MachineDeleted { name } => world.host("idp").machines.delete(name),
        Given::MachineBegun { name } => {
            let machine = machine_of(world, name);
            machine.begun = true;
            "stopped".clone_into(&mut machine.status);
        }
        Given::FirstBoot { name } => machine_of(world, name).first_boot = true,
        Given::Stub { node, vmid } => {
            let stub = v1::MachineStub {
                node: node.clone(),
                vmid: *vmid,
                command: format!("qm destroy {vmid}"),
            };
            world.host("idp").machines.stubs.push(stub);
        }
        _ => {}
    }
}

fn machine_of<'a>(world: &'a mut World, name: &str) -> &'a mut MachineModel {
    world.host("idp").machines.machines.get_mut(name).unwrap()
}

fn group_of<'a>(desired: &'a mut Desired, name: &str) -> &'a mut DesiredGroup {
    let mut groups = desired.machines.as_mut().unwrap().groups.iter_mut();
    groups.find(|group| group.name == name).unwrap()
}

fn service_of<'a>(desired: &'a mut Desired, name: &str) -> &'a mut v1::Service {
    let services = &mut desired.stack.stack.services;
    let mut found = services.iter_mut();
    found.find(|service| service.name == name).unwrap()
}

fn network_of<'a>(desired: &'a mut Desired, name: &str) -> &'a mut v1::Network {
    let mut networks = desired.stack.stack.networks.iter_mut();
    networks.find(|network| network.name == name).unwrap()
}

/// The plan, and what it was made from.
async fn plans(text: &str) -> (Result<Plan, PlanError>, Desired, FakeAgents) {
    let scenario: Scenario = toml::from_str(text).unwrap();
    let before = scenario.machines.desired();
    let agents = FakeAgents::new(&before);
    match scenario.start {
        Start::Nothing => {}
        Start::Running => agents.converge(&before),
    }
    let mut desired = before;
    for given in &scenario.given {
        given.wish(&mut desired);
        given.happen(&agents);
    }
    if let DesiredIdentity::External { issuer } = &desired.identity {
        agents.world().issuers.push(issuer.clone());
    }
    let choices = Choices {
        remove_orphans: scenario.remove_orphans,
        ..Choices::default()
    };
    let clock = FakeClock(agents.clone());
    let observed = observe(&agents.seat(), &clock, &Scope::of(&desired)).await;
    let made = plan(&desired, &observed, choices);
    assert_eq!(made, plan(&desired, &observed, choices), "a plan is pure");
    (made, desired, agents)
}

fn refusal_text(error: &PlanError) -> String {
    let mut text = format!("{}\n", crate::rollout::chain(error));
    if let PlanError::Refused { refusals } = error {
        for refusal in refusals {
            let _ = writeln!(text, "- {refusal}");
            if let Some(hint) = refusal.hint() {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
    }
    let _ = writeln!(text, "exit code {}", error.exit().code());
    text
}

async fn check(name: &str, text: &str) {
    let (made, desired, agents) = plans(text).await;
    let shown = match &made {
        Ok(plan) => plan.to_string(),
        Err(error) => refusal_text(error),
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../scenarios");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));

    if let Ok(plan) = made {
        let file = serde_json::to_vec(&plan.to_json()).unwrap();
        let read = Plan::from_json(&file, plan.deployment()).unwrap();
        assert_eq!(read, plan, "a plan survives its file");
        // Done to the letter, there is nothing left to do, but for what is left out.
        agents.carry_out(&plan);
        let clock = FakeClock(agents.clone());
        let observed = observe(&agents.seat(), &clock, &Scope::of(&desired)).await;
        let again = super::plan(&desired, &observed, Choices::default()).unwrap();
        if plan.ends_before() == Some(Wave::Identity) {
            // Hosts were made: now the rest can be planned.
            assert!(
                again.steps().all(|step| step.id.wave > 1),
                "what was made is made: {again}"
            );
            agents.carry_out(&again);
            let observed = observe(&agents.seat(), &clock, &Scope::of(&desired)).await;
            let at_last = super::plan(&desired, &observed, Choices::default()).unwrap();
            assert!(at_last.is_noop(), "{at_last}");
        } else {
            assert!(again.is_noop(), "{again}");
        }
    }
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $test:ident: $file:literal,)*) => {
        $(
            $(#[$doc])*
            #[tokio::test(start_paused = true)]
            async fn $test() {
                check($file, include_str!(concat!("../../scenarios/", $file, ".toml"))).await;
            }
        )*

        #[test]
        fn every_scenario_is_a_test() {
            let tests = [$(concat!($file, ".toml")),*];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.ends_with(".toml") || tests.contains(&name.as_str()), "{name}");
            }
        }
    };
}

scenarios! {
    everything_is_made_from_nothing: "from-nothing",
    nothing_is_done_when_all_is_right: "nothing-to-do",
    a_changed_image_recreates_one_service: "image-changed",
    a_moved_tag_is_another_image: "tag-moved",
    a_changed_sidecar_recreates_its_sharers: "sidecar-changed",
    a_sidecar_whose_sharers_cannot_come_back_is_left_alone: "sidecar-waits",
    a_sidecar_that_must_wait_with_nothing_before_it_makes_no_plan: "sidecar-waits-at-once",
    a_changed_provider_can_be_undone: "provider-changed",
    a_changed_secret_is_named_without_its_value: "secret-changed",
    a_changed_program_restarts_the_unit: "program-changed",
    a_changed_node_name_is_an_identity: "identity-changed",
    an_unreachable_host_is_named: "host-unreachable",
    several_faults_of_hosts_are_told_at_once: "hosts-unusable",
    a_missing_encryption_key_ends_the_plan_before_omni: "encryption-key-missing",
    a_missing_provider_key_ends_the_plan_before_the_provider: "provider-key-missing",
    a_secret_missing_at_once_lists_all_that_are_missing: "secrets-missing-at-once",
    a_sidecar_that_lost_its_state_needs_another_key: "sidecar-state-lost",
    a_unit_whose_node_is_lost_needs_another_key: "unit-node-lost",
    a_secret_that_is_spelled_out_is_warned_of: "secret-spelled-out",
    an_external_issuer_is_only_asked: "external-issuer",
    one_machine_for_both_is_refused: "same-machine",
    one_node_for_both_is_refused: "same-node",
    orphans_and_foreign_containers_are_left_alone: "orphans-left",
    orphans_are_removed_when_told: "orphans-removed",
    a_dropped_service_leaves_its_container: "service-dropped",
    a_foreign_container_in_the_way_is_refused: "foreign-in-the-way",
    a_drifted_unit_is_put_right: "unit-drifted",
    what_has_stopped_is_started: "stopped",
    an_unknown_outcome_is_looked_at_again: "outcome-unknown",
    a_running_operation_of_others_is_waited_for: "operation-running",
    an_unknown_engine_makes_no_plan: "engine-down",
    an_image_that_is_nowhere_makes_no_plan: "image-missing",
    a_held_lease_is_told: "lease-held",
    another_volume_is_another_identity_and_warned_of: "volume-renamed",
    another_network_recreates_who_is_on_it: "network-renamed",
    a_network_of_another_kind_makes_no_plan: "network-internal",
    other_roots_are_verified_with: "roots-changed",
    a_damaged_ledger_makes_no_plan: "ledger-damaged",
    control_planes_are_spread_over_nodes: "machines-from-nothing",
    machines_that_run_are_left_alone: "machines-nothing-to-do",
    a_host_that_does_not_exist_is_made_first: "host-made-first",
    a_host_that_never_booted_to_its_end_is_enrolled: "host-first-boot",
    a_host_whose_machine_is_stopped_is_started: "host-stopped",
    a_host_that_answers_elsewhere_is_not_made: "host-elsewhere",
    a_host_machine_without_its_key_makes_no_plan: "host-key-missing",
    a_missing_join_document_ends_the_plan_before_the_machines: "join-missing",
    a_missing_token_ends_the_plan_before_the_machines: "proxmox-token-missing",
    a_machine_that_is_other_than_declared_is_told_about: "machine-differs",
    a_deleted_machine_is_made_with_another_uuid: "machine-deleted",
    what_was_begun_is_finished_where_it_was: "machine-begun",
    control_planes_that_share_a_node_are_warned_of: "nodes-offline",
    a_group_whose_node_is_away_makes_no_plan: "pinned-node-offline",
    a_full_range_of_vmids_makes_no_plan: "vmids-exhausted",
    a_cluster_that_does_not_answer_makes_no_plan: "cluster-down",
    half_made_machines_are_told_with_their_command: "machine-stubs",
}
