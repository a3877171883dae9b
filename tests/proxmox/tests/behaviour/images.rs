//! facts §1.5: files that come to a storage, and go.

use omni_scale_proxmox_simulator::{Method, Request};
use serde_json::json;

use crate::support::{IMAGE, IMAGE_SUM, IMAGE_URL, Lab, fault_of};

const LOCAL: &str = "/nodes/pve1/storage/local";

fn download(lab: &mut Lab, more: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("content", "import"),
        ("filename", "debian.qcow2"),
        ("url", IMAGE_URL),
    ];
    fields.extend(more);
    let answer = lab.post(&format!("{LOCAL}/download-url"), &fields);
    lab.ends(&answer)
}

/// Uploads an ISO to pve1.
pub(crate) fn upload(lab: &mut Lab, name: &str, bytes: &[u8]) {
    let answer = send_upload(lab, name, bytes, &[]);
    assert_eq!(lab.ends(&answer), "OK");
}

fn send_upload(
    lab: &mut Lab,
    name: &str,
    bytes: &[u8],
    more: &[(&str, &str)],
) -> omni_scale_proxmox_simulator::Answer {
    let mut body = Vec::new();
    for (field, value) in [("content", "iso")].iter().chain(more) {
        let part =
            format!("--XX\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--XX--\r\n");
    let mut request = Request::new(Method::Post, &format!("{LOCAL}/upload"));
    request.content_type = Some("multipart/form-data; boundary=XX".to_owned());
    request.body = body;
    lab.send(request)
}

/// pve-common `Tools.pm` :1501-1519: with a checksum it can be repeated, without one it cannot.
#[test]
fn a_download_is_idempotent_only_with_its_checksum() {
    let mut lab = Lab::new();
    let sums = [("checksum", IMAGE_SUM), ("checksum-algorithm", "sha256")];
    assert_eq!(download(&mut lab, &sums), "OK");
    assert_eq!(download(&mut lab, &sums), "OK");
    assert_eq!(
        download(&mut lab, &[]),
        "refusing to override existing file '/var/lib/vz/import/debian.qcow2'"
    );
    let rows = lab.data(&format!("{LOCAL}/content?content=import"));
    assert_eq!(rows[0]["volid"], IMAGE);
    assert_eq!(
        lab.data("/nodes/pve2/storage/local/content"),
        json!([]),
        "each node has its own"
    );
}

/// facts §1.5: a wrong sum is told with both, and nothing stays.
#[test]
fn a_wrong_checksum_leaves_no_file() {
    let mut lab = Lab::new();
    let wrong = "0".repeat(64);
    let end = download(
        &mut lab,
        &[("checksum", &wrong), ("checksum-algorithm", "sha256")],
    );
    assert_eq!(
        end,
        format!("checksum mismatch: got '{IMAGE_SUM}' != expect '{wrong}'")
    );
    assert_eq!(lab.data(&format!("{LOCAL}/content")), json!([]));
    let alone = lab.post(&format!("{LOCAL}/download-url"), &[("checksum", &wrong)]);
    assert_eq!(
        fault_of(&alone, "checksum-algorithm"),
        "missing property - 'checksum' requires this property"
    );
}

/// facts §1.5: no way out, or nothing there.
#[test]
fn a_download_that_finds_nothing_fails() {
    let mut lab = Lab::new();
    lab.cluster.images.get_mut(IMAGE_URL).unwrap().reachable = false;
    assert!(download(&mut lab, &[]).ends_with("exit code 4"));
    lab.cluster.images.clear();
    assert!(download(&mut lab, &[]).ends_with("exit code 8"));
}

/// facts §1.5: file names, content types and storages that do not go together.
#[test]
fn a_file_must_fit_its_storage() {
    let mut lab = Lab::new();
    let fields = [
        ("content", "import"),
        ("filename", "debian.img"),
        ("url", IMAGE_URL),
    ];
    let answer = lab.post(&format!("{LOCAL}/download-url"), &fields);
    assert_eq!(
        fault_of(&answer, "filename"),
        "invalid filename or wrong extension"
    );
    let answer = lab.post("/nodes/pve1/storage/fast/download-url", &fields);
    assert_eq!(
        answer.reason,
        "can't upload to storage type 'lvmthin', not a file based storage!"
    );
    let snippet = [
        ("content", "snippets"),
        ("filename", "a.yaml"),
        ("url", IMAGE_URL),
    ];
    let answer = lab.post(&format!("{LOCAL}/download-url"), &snippet);
    assert!(fault_of(&answer, "content").starts_with("value 'snippets' does not have a value"));
    lab.cluster
        .storages
        .get_mut("local")
        .unwrap()
        .content
        .remove("import");
    let fields = [
        ("content", "import"),
        ("filename", "debian.qcow2"),
        ("url", IMAGE_URL),
    ];
    let answer = lab.post(&format!("{LOCAL}/download-url"), &fields);
    assert_eq!(
        answer.reason,
        "storage 'local' is not configured for content-type 'import'"
    );
}

/// pve-storage `API2/Storage/Status.pm` :519-735: an upload replaces what was there without a word.
#[test]
fn an_upload_overwrites_silently() {
    let mut lab = Lab::new();
    upload(&mut lab, "a.iso", b"one");
    upload(&mut lab, "a.iso", b"other");
    let rows = lab.data(&format!("{LOCAL}/content?content=iso"));
    assert_eq!(
        (rows.as_array().unwrap().len(), &rows[0]["size"]),
        (1, &json!(5))
    );
    let sum = [("checksum", "00"), ("checksum-algorithm", "sha256")];
    let answer = send_upload(&mut lab, "a.iso", b"third", &sum);
    assert!(lab.ends(&answer).starts_with("checksum mismatch: got '"));
    let name = send_upload(&mut lab, "a.txt", b"x", &[]);
    assert_eq!(fault_of(&name, "filename"), "wrong file extension");
}

/// pve-storage `API2/Storage/Content.pm` `delete`: a task, or null if it is awaited; gone is an error of the task.
#[test]
fn a_file_is_removed_by_a_task() {
    let mut lab = Lab::new();
    upload(&mut lab, "a.iso", b"one");
    let path = format!("{LOCAL}/content/local%3Aiso%2Fa.iso");
    let answer = lab.delete(&format!("{path}?delay=5"));
    assert_eq!(answer.data(), &json!(null));
    assert_eq!(lab.data(&format!("{LOCAL}/content")), json!([]));
    let again = lab.delete(&path);
    assert!(lab.ends(&again).contains("no such file"));
}

/// facts §1.5: storages that may hold something, with their space.
#[test]
fn storages_are_found_by_what_they_may_hold() {
    let mut lab = Lab::new();
    let rows = lab.data("/nodes/pve1/storage?content=images&enabled=1");
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(
        (&rows[0]["storage"], &rows[0]["shared"], &rows[0]["avail"]),
        (&json!("fast"), &json!(0), &json!(1_u64 << 40))
    );
    assert_eq!(
        fault_of(&lab.get("/nodes/pve1/storage?storage=none"), "storage"),
        "No such storage."
    );
}

/// pve-manager `API2/Nodes.pm` `query_url_metadata`.
#[test]
fn a_node_says_what_it_finds_at_an_address() {
    let mut lab = Lab::new();
    let ask = |lab: &mut Lab, url: &str| {
        lab.get(&format!(
            "/nodes/pve1/query-url-metadata?url={}",
            omni_scale_proxmox_simulator::encode(url)
        ))
    };
    let found = ask(&mut lab, IMAGE_URL);
    assert_eq!(found.data()["filename"], "debian.qcow2");
    let missing = ask(&mut lab, "https://images.example/none.iso");
    assert_eq!(
        (missing.status, missing.reason.as_str()),
        (500, "invalid server response: '404 Not Found'")
    );
    assert_eq!(ask(&mut lab, "ftp://x").status, 400);
}
