//! The journal by the program `journalctl`: the one child process of the agent.
//!
//! Its arguments are fixed but for numbers and cursors, no shell reads them, its environment is
//! empty, and it ends with the stream. When it ends while lines are followed, it is started again
//! after the last line that was seen.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use omni_scale_proto::v1::LogLine;
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::entry::Entry;
use super::lines::{Line, next_line};
use super::{Journal, JournalError, MOST_LINES, Selection};
use crate::secrets::Secrets;

/// The longest entry that is read, in bytes of JSON. journald's own limit on a field is 48 KiB by
/// default for what programs print; bytes that are not UTF-8 take five bytes each.
const LONGEST_ENTRY: usize = 1024 * 1024;

/// Lines that may wait for a slow reader; then the child waits.
const BACKLOG: usize = 256;

/// Wait before a child that ended is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// So many children in a row may end without a line before following ends with an error.
const FRUITLESS: u32 = 5;

type Item = Result<LogLine, JournalError>;

/// Reads the journal with `journalctl`.
#[derive(Debug, Clone)]
pub struct JournalChild {
    program: PathBuf,
    /// Arguments before the fixed ones: a test's script.
    leading: Vec<OsString>,
    secrets: Arc<Secrets>,
}

impl JournalChild {
    /// The system's `journalctl`. The values in `secrets` are hidden in every line.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            program: PathBuf::from("/usr/bin/journalctl"),
            leading: Vec::new(),
            secrets,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "journald has no other interface that needs neither its C library nor its file format"
    )]
    fn spawn(&self, selection: Selection, cursor: &str) -> Result<Child, JournalError> {
        Command::new(&self.program)
            .args(&self.leading)
            .args(arguments(selection, cursor))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(JournalError::Reader)
    }

    /// One child from its start to its end. The answer is how many entries came.
    async fn read_once(
        &self,
        selection: Selection,
        cursor: &mut String,
        sender: &mpsc::Sender<Item>,
    ) -> Result<usize, JournalError> {
        let mut child = self.spawn(selection, cursor)?;
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let entries = async {
            let mut reader = BufReader::new(stdout);
            let mut entries = 0;
            while let Some(line) = next_line(&mut reader, LONGEST_ENTRY)
                .await
                .map_err(JournalError::Reader)?
            {
                let Line::Whole(line) = line else { continue };
                let Some(entry) = Entry::parse(&line) else {
                    continue;
                };
                entries += 1;
                if !entry.cursor.is_empty() {
                    entry.cursor.clone_into(cursor);
                }
                for line in entry.into_lines(|text| self.secrets.mask(text)) {
                    if sender.send(Ok(line)).await.is_err() {
                        return Ok(entries);
                    }
                }
            }
            Ok(entries)
        };
        let (entries, words) = tokio::join!(entries, words(stderr));
        let entries = entries?;
        let status = child.wait().await.map_err(JournalError::Reader)?;
        if status.success() || entries > 0 {
            return Ok(entries);
        }
        let text = self.secrets.mask(&words);
        if text.contains("insufficient permissions") || text.contains("not seeing messages") {
            return Err(JournalError::Denied { text });
        }
        Err(JournalError::Ended {
            status: status.to_string(),
            text,
        })
    }

    async fn run(self, selection: Selection, sender: mpsc::Sender<Item>) {
        let mut cursor = String::new();
        let mut fruitless = 0;
        loop {
            let ended = tokio::select! {
                () = sender.closed() => return,
                ended = self.read_once(selection, &mut cursor, &sender) => ended,
            };
            fruitless = if matches!(ended, Ok(1..)) {
                0
            } else {
                fruitless + 1
            };
            let gives_up =
                matches!(ended, Err(JournalError::Denied { .. })) || fruitless >= FRUITLESS;
            if !selection.follow || gives_up {
                if let Err(error) = ended {
                    let _ = sender.send(Err(error)).await;
                }
                return;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        }
    }
}

impl Journal for JournalChild {
    fn read(&self, selection: Selection) -> BoxStream<'static, Item> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(self.clone().run(selection, sender));
        ReceiverStream::new(receiver).boxed()
    }
}

fn arguments(selection: Selection, cursor: &str) -> Vec<String> {
    let mut arguments = vec![
        "--no-pager".to_owned(),
        "--output=json".to_owned(),
        "--output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT".to_owned(),
        // Without it a message of more than 4096 bytes is `null`.
        "--all".to_owned(),
    ];
    arguments.push(format!("--unit={}", selection.unit.name()));
    if cursor.is_empty() {
        arguments.push(format!("--lines={}", selection.lines.min(MOST_LINES)));
    } else {
        arguments.push("--no-tail".to_owned());
        arguments.push(format!("--after-cursor={cursor}"));
    }
    if selection.follow {
        arguments.push("--follow".to_owned());
    }
    arguments
}

/// What the child says on its standard error, up to a bound; the rest is read and left out.
async fn words(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut words = Vec::new();
    let mut bounded = (&mut stderr).take(4096);
    let _ = bounded.read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).trim().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalUnit;
    use crate::secrets::SecretValue;

    /// A `journalctl` made of a few lines of shell, which gets the arguments of the real one.
    fn scripted(script: &str) -> (JournalChild, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(directory.path()).unwrap();
        let value = SecretValue::new(b"hunter2-hunter2".to_vec());
        secrets.put(&"client".parse().unwrap(), &value).unwrap();
        let journal = JournalChild {
            program: PathBuf::from("/bin/sh"),
            leading: ["-c", script, "journalctl"].map(OsString::from).to_vec(),
            secrets: Arc::new(secrets),
        };
        (journal, directory)
    }

    fn selection(follow: bool) -> Selection {
        Selection {
            unit: JournalUnit::Tsidp,
            lines: 20,
            follow,
        }
    }

    async fn all(journal: &JournalChild) -> Vec<String> {
        let lines = journal.read(selection(false));
        let lines = lines.map(|line| match line {
            Ok(line) => line.line,
            Err(error) => format!("error: {error}"),
        });
        tokio::time::timeout(Duration::from_secs(20), lines.collect())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_arguments_are_fixed() {
        let script = r#"printf '{"MESSAGE":"%s"}\n' "$*""#;
        let (journal, _directory) = scripted(script);
        assert_eq!(
            all(&journal).await,
            [
                "--no-pager --output=json --output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT --all --unit=tsidp.service --lines=20"
            ]
        );
    }

    #[tokio::test]
    async fn secrets_are_hidden_and_noise_is_skipped() {
        let script = r#"echo '-- noise --'; echo '{"MESSAGE":"wrong secret hunter2-hunter2"}'"#;
        let (journal, _directory) = scripted(script);
        assert_eq!(all(&journal).await, ["wrong secret [secret client]"]);
    }

    #[tokio::test]
    async fn a_user_without_the_group_is_told_so() {
        let script =
            "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1";
        let (journal, _directory) = scripted(script);
        let mut lines = journal.read(selection(true));
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(error.hint().unwrap().contains("systemd-journal"));
        assert!(lines.next().await.is_none());
    }

    #[tokio::test]
    async fn a_child_that_fails_is_an_error_with_its_words() {
        let (journal, _directory) = scripted("echo oops >&2; exit 3");
        let lines = all(&journal).await;
        assert!(lines[0].contains("exit status: 3: oops"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn following_goes_on_after_the_last_line_when_the_child_ends() {
        let script = r#"case "$*" in
            *--after-cursor=c1*) echo '{"__CURSOR":"c2","MESSAGE":"second"}'; exec tail -f /dev/null;;
            *) echo '{"__CURSOR":"c1","MESSAGE":"first"}';;
            esac"#;
        let (journal, _directory) = scripted(script);
        let lines = journal.read(selection(true)).take(2);
        let lines: Vec<_> = lines.map(|line| line.unwrap().line).collect().await;
        assert_eq!(lines, ["first", "second"]);
    }

    #[tokio::test]
    async fn the_child_ends_with_the_stream() {
        let script = r#"printf '{"MESSAGE":"%s"}\n' $$; exec tail -f /dev/null"#;
        let (journal, _directory) = scripted(script);
        let mut lines = journal.read(selection(true));
        let process = lines.next().await.unwrap().unwrap().line;
        drop(lines);
        // Bounded by the watchdog below; each turn lets the reader's task see that nobody listens.
        let gone = async {
            while is_alive(&process) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .unwrap();
    }

    fn is_alive(process: &str) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
        state.is_ok_and(|state| !state.contains(") Z "))
    }
}
