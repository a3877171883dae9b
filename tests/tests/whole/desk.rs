//! An operator's machine: the command line with a home of its own.

use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use omni_scale::agents::grpc::memory::MemoryNetwork;
use omni_scale::config::Environment;
use omni_scale::exit::Exit;
use omni_scale::files::{self, Access, Existing};
use omni_scale::login::FakeIssuers;
use omni_scale::output::Terminals;
use omni_scale::pki::AskSecret;
use omni_scale::rollout::SystemClock;
use omni_scale::surroundings::{Interrupts, Surroundings};
use zeroize::Zeroizing;

/// The machine.
pub(crate) struct Desk {
    pub(crate) home: tempfile::TempDir,
    pub(crate) network: MemoryNetwork,
    /// Ctrl-C after this time, and again after as much.
    pub(crate) interrupts: Option<Duration>,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ran {
    /// Ended in this way; otherwise shows what was said.
    #[track_caller]
    pub(crate) fn ended(self, exit: Exit) -> Self {
        assert_eq!(self.exit, exit, "{}\n{}", self.output, self.errors);
        self
    }

    /// Ended well.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.ended(Exit::Done)
    }
}

#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Person;

impl AskSecret for Person {
    fn ask(&self, _: &str) -> std::io::Result<Zeroizing<String>> {
        Ok(Zeroizing::new("correct horse battery staple".to_owned()))
    }
}

struct Every(Option<Duration>);

#[async_trait]
impl Interrupts for Every {
    async fn next(&self) {
        match self.0 {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    }
}

impl Desk {
    pub(crate) fn new(network: &MemoryNetwork) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            network: network.clone(),
            interrupts: None,
        }
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, words: &str) -> Ran {
        self.run_with(words, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn run_with(&self, words: &str, input: &str) -> Ran {
        let home = self.home.path().to_owned();
        let (output, errors) = (Stream::default(), Stream::default());
        let surroundings = Surroundings {
            environment: Environment {
                config_home: Some(home.join("config")),
                state_home: Some(home.join("state")),
                user: None,
                no_color: true,
                dumb_terminal: true,
                machine: "desk".to_owned(),
            },
            directory: home,
            input: Box::new(Cursor::new(input.to_owned())),
            output: Box::new(output.clone()),
            errors: Box::new(errors.clone()),
            terminals: Terminals::default(),
            person: Arc::new(Person),
            network: Arc::new(self.network.clone()),
            issuers: Arc::new(FakeIssuers::default()),
            clock: Arc::new(SystemClock),
            interrupts: Arc::new(Every(self.interrupts)),
            logging: |_| {},
        };
        let typed = std::iter::once("omni-scale").chain(words.split_whitespace());
        // The whole program is one large future.
        let running = omni_scale::run(typed.map(OsString::from), surroundings);
        let exit = Box::pin(running).await;
        Ran {
            exit,
            output: output.text(),
            errors: errors.text(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        files::write(
            &self.path(name),
            contents,
            Access::Public,
            Existing::Replace,
        )
        .unwrap();
    }

    /// The deployment's id.
    pub(crate) fn id(&self) -> String {
        let mut found = std::fs::read_dir(self.path("config/omni-scale")).unwrap();
        let name = found.next().unwrap().unwrap().file_name();
        name.to_string_lossy().into_owned()
    }
}
