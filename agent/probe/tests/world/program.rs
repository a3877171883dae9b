//! The binary: its input, its one line of output, its exit codes.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use omni_scale_probe::{BodyExpectation, ProbeReport, ProbeRequest};

use crate::web::{always, answer, serve};

#[expect(
    clippy::disallowed_methods,
    reason = "the test is about the program itself"
)]
fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_omni-scale-probe"))
}

async fn run(path: &Path) -> Output {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || program().arg(path).output().unwrap())
        .await
        .unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn a_met_expectation_is_exit_code_0_and_an_unmet_one_1() {
    let address = serve(always(answer("200 OK", "", b"")), None).await;
    let url = format!("http://{address}/healthz");
    for (body, code) in [
        (BodyExpectation::Empty, 0),
        (
            BodyExpectation::Contains {
                text: "x".to_owned(),
            },
            1,
        ),
    ] {
        let request = serde_json::to_string(&ProbeRequest::status(&url, 200, body, "")).unwrap();
        let output = run(file(&request).path()).await;
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "one line");
        let report: ProbeReport = serde_json::from_str(&text).unwrap();
        assert_eq!(report.met, code == 0);
    }
}

#[tokio::test]
async fn a_list_is_answered_by_a_list() {
    let address = serve(always(answer("200 OK", "", b"")), None).await;
    let request = |code| {
        ProbeRequest::status(
            &format!("http://{address}/"),
            code,
            BodyExpectation::Any,
            "",
        )
    };
    let list = serde_json::to_string(&[request(200), request(204)]).unwrap();
    let output = run(file(&list).path()).await;
    assert_eq!(output.status.code(), Some(1));
    let reports: Vec<ProbeReport> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        reports.iter().map(|report| report.met).collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test]
async fn standard_input_is_read_without_a_path() {
    let mut child = program()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("cannot read the request: missing field `url`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_request_is_exit_code_2() {
    let list = r#"[{"url":"gopher://x","expect":{"status":{"code":200}}}]"#;
    let output = run(file(list).path()).await;
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        error,
        "omni-scale-probe: request 1: the URL `gopher://x` is neither `http` nor `https`\n"
    );
    assert_eq!(
        run(Path::new("/does/not/exist")).await.status.code(),
        Some(2)
    );
}
