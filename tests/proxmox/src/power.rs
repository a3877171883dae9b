//! Start, stop, shutdown and delete. All are tasks, and nearly all that can be wrong is wrong in the task (facts §1.6).

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::jobs::{Act, Job, OnVm, Scratch, check_lock};
use crate::machines::{Facts, PowerEvent};
use crate::refusal::Refusal;
use crate::vms::missing;

/// A change of power.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Power {
    Start {
        skip_lock: bool,
    },
    Stop {
        skip_lock: bool,
    },
    Shutdown {
        skip_lock: bool,
        timeout_ms: u64,
        force: bool,
        obeys: bool,
    },
}

impl Cluster {
    pub(crate) fn start_vm(&mut self, call: &Call) -> Handled {
        let skip_lock = Self::skip_lock(call)?;
        self.check_quorum()?;
        self.power(call, "qmstart", Power::Start { skip_lock }, true)
    }

    pub(crate) fn stop_vm(&mut self, call: &Call) -> Handled {
        let skip_lock = Self::skip_lock(call)?;
        if call.flag("keepActive") && !call.caller.is_root() {
            return Err(Refusal::parameter(
                "keepActive",
                "Only root may use this option.",
            ));
        }
        if call.flag("overrule-shutdown") {
            let id = call.vmid().to_string();
            let running = |task: &crate::Task| {
                task.ended.is_none() && task.kind == "qmshutdown" && task.id == id
            };
            while let Some(at) = self.tasks.iter().position(running) {
                self.kill_task(at);
            }
        }
        self.power(call, "qmstop", Power::Stop { skip_lock }, false)
    }

    pub(crate) fn shutdown_vm(&mut self, call: &Call) -> Handled {
        let skip_lock = Self::skip_lock(call)?;
        if call.flag("keepActive") && !call.caller.is_root() {
            return Err(Refusal::parameter(
                "keepActive",
                "Only root may use this option.",
            ));
        }
        let seconds = call
            .number("timeout")
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(60);
        let power = Power::Shutdown {
            skip_lock,
            timeout_ms: seconds * 1000,
            force: call.flag("forceStop"),
            obeys: false,
        };
        self.power(call, "qmshutdown", power, false)
    }

    fn power(&mut self, call: &Call, kind: &str, power: Power, running: bool) -> Handled {
        let vmid = call.vmid();
        let (kind, job) = if self.vms.get(&vmid).is_some_and(|vm| vm.ha_managed) {
            let kind = if running { "hastart" } else { "hastop" };
            (
                kind,
                Job::AskHa {
                    vmid,
                    running,
                    asked: false,
                },
            )
        } else {
            (kind, OnVm::job(vmid, Act::Power(power)))
        };
        self.spawn(&call.caller, call.node(), kind, &vmid.to_string(), job)
            .map(Success::new)
    }

    /// qemu-server `Qemu.pm`: no token is root, not even one of root's.
    fn skip_lock(call: &Call) -> Result<bool, Refusal> {
        let asked = call.flag("skiplock");
        if asked && !call.caller.is_root() {
            return Err(Refusal::parameter(
                "skiplock",
                "Only root may use this option.",
            ));
        }
        Ok(asked)
    }

    pub(crate) fn destroy_vm(&mut self, call: &Call) -> Handled {
        let skip_lock = Self::skip_lock(call)?;
        let (node, vmid) = (call.node(), call.vmid());
        self.check_destroy(node, vmid).map_err(Refusal::Died)?;
        let used = self.vms.get(&vmid).is_some_and(|vm| vm.ha_managed);
        if used && !call.flag("purge") {
            let text = format!(
                "unable to remove VM {vmid} - used in HA resources and purge parameter not set."
            );
            return Err(Refusal::died(text));
        }
        let act = Act::Destroy {
            unreferenced: call.flag("destroy-unreferenced-disks"),
            purge: call.flag("purge"),
            skip_lock,
        };
        self.spawn(
            &call.caller,
            node,
            "qmdestroy",
            &vmid.to_string(),
            OnVm::job(vmid, act),
        )
        .map(Success::new)
    }

    /// What stops a VM from starting, and what is only worth a warning (qemu-server `QemuServer.pm` `vm_start`).
    fn check_start(&self, scratch: &mut Scratch, vmid: u32, skip_lock: bool) -> Result<(), String> {
        let node = scratch.node.clone();
        let vm = self.vm_on(&node, vmid)?;
        if vm.flag("template") {
            return Err("you can't start a vm if it's a template".to_owned());
        }
        check_lock(vm.lock(), skip_lock)?;
        if vm.is_running() {
            return Err(format!("VM {vmid} already running"));
        }
        for id in vm.volumes() {
            if self.volume(&node, &id).is_none() {
                return Err(format!("volume '{id}' does not exist"));
            }
        }
        let bridges = self
            .nodes
            .get(&node)
            .map(|node| node.bridges.clone())
            .unwrap_or_default();
        for (_, net) in vm.config.iter().filter(|(key, _)| key.starts_with("net")) {
            let bridge = net.split(',').find_map(|part| part.strip_prefix("bridge="));
            if let Some(bridge) =
                bridge.filter(|bridge| !bridges.iter().any(|known| known == bridge))
            {
                return Err(format!("bridge '{bridge}' does not exist"));
            }
        }
        let total = self.nodes.get(&node).map_or(0, |node| node.memory);
        if self.memory_used(&node) + vm.memory_bytes() > total {
            scratch
                .log("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory".to_owned());
            return Err("start failed: QEMU exited with code 1".to_owned());
        }
        if vm.config.get("bios").is_some_and(|bios| bios == "ovmf")
            && !vm.config.contains_key("efidisk0")
        {
            scratch.warn("no efidisk configured! Using temporary efivars disk.");
        }
        Ok(())
    }

    /// Starts a VM at this moment, without a task of its own.
    pub(crate) fn start_now(&mut self, node: &str, vmid: u32) -> Result<(), String> {
        let mut scratch = Scratch::new("", node, "");
        self.check_start(&mut scratch, vmid, false)?;
        self.powered_on(vmid);
        Ok(())
    }

    fn powered_on(&mut self, vmid: u32) {
        let now = self.now;
        if let Some(vm) = self.vms.get_mut(&vmid) {
            vm.apply_pending();
            vm.running_since = Some(now);
        }
        if let Some(facts) = self.facts(vmid) {
            self.power_events.push(PowerEvent::Started(Box::new(facts)));
        }
    }

    /// Power off at this moment. Pending changes stay until the next start.
    pub(crate) fn powered_off(&mut self, vmid: u32) {
        if let Some(vm) = self.vms.get_mut(&vmid).filter(|vm| vm.is_running()) {
            vm.running_since = None;
            vm.guest.detail = None;
            vm.guest.interfaces = None;
            let facts = self.facts(vmid);
            self.power_events
                .extend(facts.map(|facts| PowerEvent::Stopped(Box::new(facts))));
        }
    }

    /// What the outside may know of a VM, the bytes of its ISO with it.
    pub fn facts(&self, vmid: u32) -> Option<Facts> {
        let vm = self.vms.get(&vmid)?;
        let iso = vm.drives().into_iter().find_map(|(_, drive)| {
            let volume = self.volume(&vm.node, &drive.file)?;
            (drive.is_cdrom() && volume.content == "iso").then_some(volume)
        });
        Some(Facts {
            vmid,
            node: vm.node.clone(),
            config: vm.config.clone(),
            iso_name: iso.map(|volume| volume.id.clone()),
            iso: iso.and_then(|volume| BASE64.decode(volume.bytes.as_ref()?.as_bytes()).ok()),
        })
    }
}

impl Power {
    pub(crate) fn begin(
        &mut self,
        cluster: &Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<u64, String> {
        let node = scratch.node.clone();
        match self {
            Self::Start { skip_lock } => {
                cluster.check_start(scratch, vmid, *skip_lock)?;
                Ok(cluster.settings.start_ms)
            }
            Self::Stop { skip_lock } => {
                let vm = on_node(cluster, &node, vmid)?;
                if vm.is_running() {
                    check_lock(vm.lock(), *skip_lock)?;
                }
                Ok(cluster.settings.stop_ms)
            }
            Self::Shutdown {
                skip_lock,
                timeout_ms,
                obeys,
                ..
            } => {
                let vm = on_node(cluster, &node, vmid)?;
                if !vm.is_running() {
                    *obeys = true;
                    return Ok(1);
                }
                check_lock(vm.lock(), *skip_lock)?;
                *obeys = vm
                    .guest
                    .shutdown_ms
                    .is_some_and(|needed| needed <= *timeout_ms);
                Ok(if *obeys {
                    vm.guest.shutdown_ms.unwrap_or(1)
                } else {
                    *timeout_ms
                })
            }
        }
    }

    pub(crate) fn finish(
        &mut self,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
        vmid: u32,
    ) -> Result<(), String> {
        match self {
            Self::Start { .. } => {
                if !cluster.vms.contains_key(&vmid) {
                    return Err(missing(&scratch.node, vmid));
                }
                cluster.powered_on(vmid);
            }
            Self::Stop { .. } => cluster.powered_off(vmid),
            Self::Shutdown { force, obeys, .. } => {
                if !*obeys && !*force {
                    return Err("VM quit/powerdown failed - got timeout".to_owned());
                }
                if !*obeys {
                    scratch
                        .log("VM quit/powerdown failed - terminating now with SIGTERM".to_owned());
                }
                cluster.powered_off(vmid);
            }
        }
        Ok(())
    }
}

/// qemu-server `QemuConfig.pm` `assert_config_exists_on_node`.
fn on_node<'a>(cluster: &'a Cluster, node: &str, vmid: u32) -> Result<&'a crate::Vm, String> {
    cluster
        .vm_on(node, vmid)
        .map_err(|_| format!("unable to find configuration file for VM {vmid} on node '{node}'"))
}
