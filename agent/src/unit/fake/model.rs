//! systemd as far as one unit sees it: states and what jobs do to them.

use std::path::PathBuf;

use crate::unit::job::Job;
use crate::unit::state::{ActiveState, InvocationId, UnitState};

/// How the unit's program behaves when it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// It runs until it is stopped.
    Runs,
    /// It ends at once with this status; systemd starts it again each time.
    Dies {
        /// Its exit status.
        status: i32,
    },
    /// It cannot be executed: the start job fails.
    CannotStart,
}

/// Why systemd does not take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such unit.
    NoSuchUnit,
    /// The caller may not.
    AccessDenied,
}

/// One unit and the switches of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitModel {
    /// Whether the unit has a file.
    pub installed: bool,
    /// Whether the polkit rule is there.
    pub allowed: bool,
    /// A condition of the unit that is not met.
    pub unmet_condition: Option<String>,
    /// How its program behaves.
    pub program: Program,
    /// Jobs are taken and never end.
    pub jobs_hang: bool,
    /// The file that systemd takes instead of the package's.
    pub shadowed_by: Option<PathBuf>,
    state: UnitState,
    runs: u8,
}

impl Default for UnitModel {
    /// Installed, allowed, never started.
    fn default() -> Self {
        Self {
            installed: true,
            allowed: true,
            unmet_condition: None,
            program: Program::Runs,
            jobs_hang: false,
            shadowed_by: None,
            state: UnitState {
                load_state: "loaded".to_owned(),
                fragment: Some("/usr/lib/systemd/system/tsidp.service".into()),
                active_state: ActiveState::Inactive,
                sub_state: "dead".to_owned(),
                result: "success".to_owned(),
                restarts: 0,
                exec_main_status: 0,
                main_pid: 0,
                invocation: None,
                active_since_milliseconds: 0,
                failed_condition: None,
            },
            runs: 0,
        }
    }
}

impl UnitModel {
    /// The state as systemd would tell it.
    pub fn state(&self) -> UnitState {
        let mut state = self.state.clone();
        if !self.installed {
            "not-found".clone_into(&mut state.load_state);
            state.fragment = None;
        } else if let Some(path) = &self.shadowed_by {
            state.fragment = Some(path.clone());
        }
        state
    }

    /// Does a job; the answer is systemd's word for how it ended.
    pub fn run(&mut self, job: Job) -> Result<&'static str, Refusal> {
        self.admit()?;
        match job {
            Job::Start if self.state.main_pid != 0 => Ok("done"),
            Job::Start => Ok(self.start()),
            Job::Stop => {
                self.stop();
                Ok("done")
            }
            Job::Restart => {
                self.stop();
                Ok(self.start())
            }
        }
    }

    /// Forgets that it failed.
    pub fn reset_failed(&mut self) -> Result<(), Refusal> {
        self.admit()?;
        if self.state.active_state == ActiveState::Failed {
            self.state.active_state = ActiveState::Inactive;
            "dead".clone_into(&mut self.state.sub_state);
        }
        self.state.restarts = 0;
        Ok(())
    }

    /// The program ends by itself, and systemd is about to start it again.
    pub fn die(&mut self, status: i32) {
        self.state.active_state = ActiveState::Activating;
        "auto-restart".clone_into(&mut self.state.sub_state);
        "exit-code".clone_into(&mut self.state.result);
        self.state.exec_main_status = status;
        self.state.main_pid = 0;
    }

    /// systemd starts it again after it died.
    pub fn restart_by_itself(&mut self) {
        let restarts = self.state.restarts + 1;
        // As in reality: the start wipes out how the last run ended.
        "success".clone_into(&mut self.state.result);
        self.state.exec_main_status = 0;
        self.start();
        self.state.restarts = restarts;
    }

    /// systemd gives up after too many starts.
    pub fn give_up(&mut self) {
        self.state.active_state = ActiveState::Failed;
        "failed".clone_into(&mut self.state.sub_state);
        self.state.main_pid = 0;
    }

    fn admit(&self) -> Result<(), Refusal> {
        match (self.allowed, self.installed) {
            (false, _) => Err(Refusal::AccessDenied),
            (true, false) => Err(Refusal::NoSuchUnit),
            (true, true) => Ok(()),
        }
    }

    fn start(&mut self) -> &'static str {
        self.state
            .failed_condition
            .clone_from(&self.unmet_condition);
        if self.unmet_condition.is_some() {
            return "done";
        }
        self.runs += 1;
        self.state.invocation = InvocationId::from_bytes(&[self.runs; 16]);
        self.state.restarts = 0;
        match self.program {
            Program::Runs => {
                self.state.active_state = ActiveState::Active;
                "running".clone_into(&mut self.state.sub_state);
                "success".clone_into(&mut self.state.result);
                self.state.exec_main_status = 0;
                self.state.main_pid = 1000 + u32::from(self.runs);
                self.state.active_since_milliseconds = 1_000 * i64::from(self.runs);
                "done"
            }
            Program::Dies { status } => {
                self.die(status);
                "done"
            }
            Program::CannotStart => {
                self.state.active_state = ActiveState::Failed;
                "failed".clone_into(&mut self.state.sub_state);
                "exit-code".clone_into(&mut self.state.result);
                self.state.exec_main_status = 203;
                "failed"
            }
        }
    }

    fn stop(&mut self) {
        self.state.active_state = ActiveState::Inactive;
        "dead".clone_into(&mut self.state.sub_state);
        self.state.main_pid = 0;
        self.state.restarts = 0;
    }
}
