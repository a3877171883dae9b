//! Files that come to a storage: `download-url` and `upload` (pve-storage `API2/Storage/Status.pm`, pve-common
//! `Tools.pm` `download_file_from_url`).

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use md5::Md5;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::answer::{Handled, Success};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::jobs::{Job, Scratch, Step};
use crate::refusal::Refusal;
use crate::storage::{Volume, split};

/// A file that `download-url` finds at an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteImage {
    /// Bytes to load.
    pub size: u64,
    /// The size of the disk within; the same as `size` for an ISO.
    pub virtual_size: u64,
    /// Its sums by algorithm, in hex.
    pub sums: BTreeMap<String, String>,
    /// Whether the nodes get through to it.
    #[serde(default = "reachable")]
    pub reachable: bool,
}

const fn reachable() -> bool {
    true
}

/// A download under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Download {
    id: String,
    content: String,
    format: String,
    url: String,
    checksum: Option<(String, String)>,
    loading: bool,
}

/// An upload whose bytes have arrived and are yet to be put in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Import {
    id: String,
    content: String,
    format: String,
    bytes: String,
    checksum: Option<(String, String)>,
    waited: bool,
}

/// Where a file goes: volume id and format.
fn destination(cluster: &Cluster, call: &Call, verb: &str) -> Result<(String, String), Refusal> {
    let (node, storage) = (call.node(), call.get("storage").unwrap_or_default());
    let content = call.get("content").unwrap_or_default();
    let definition = cluster.storage_on(node, storage).map_err(Refusal::Died)?;
    if !definition.has_path() {
        let kind = &definition.kind;
        return Err(Refusal::died(match verb {
            "upload" => format!("can't upload to storage type '{kind}'"),
            _ => format!("can't upload to storage type '{kind}', not a file based storage!"),
        }));
    }
    if verb == "download" && !definition.content.contains(content) {
        return Err(Refusal::died(format!(
            "storage '{storage}' is not configured for content-type '{content}'"
        )));
    }
    let name = normalize(call.get("filename").unwrap_or_default());
    let extension = name
        .rsplit_once('.')
        .filter(|(stem, _)| !stem.is_empty())
        .map_or("", |(_, end)| end);
    let (fine, message) = match content {
        "iso" => (
            ["iso", "img"].contains(&extension.to_ascii_lowercase().as_str()),
            "wrong file extension",
        ),
        "import" => (
            ["ova", "qcow2", "raw", "vmdk"].contains(&extension),
            "invalid filename or wrong extension",
        ),
        _ => (name.contains(".tar."), "wrong file extension"),
    };
    if !fine {
        return Err(Refusal::parameter("filename", message));
    }
    if !definition.content.contains(content) {
        return Err(Refusal::died(format!(
            "storage '{storage}' does not support '{content}' content"
        )));
    }
    let format = if content == "iso" { "iso" } else { extension };
    Ok((format!("{storage}:{content}/{name}"), format.to_owned()))
}

/// pve-storage `Storage.pm` `normalize_content_filename`.
fn normalize(name: &str) -> String {
    let base = name
        .trim_end_matches('\n')
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default();
    base.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || "_.-".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

fn checksum(call: &Call) -> Option<(String, String)> {
    Some((
        call.get("checksum-algorithm")?.to_owned(),
        call.get("checksum")?.to_owned(),
    ))
}

fn sum(algorithm: &str, bytes: &[u8]) -> String {
    match algorithm {
        "md5" => HEXLOWER.encode(&Md5::digest(bytes)),
        "sha1" => HEXLOWER.encode(&Sha1::digest(bytes)),
        "sha224" => HEXLOWER.encode(&Sha224::digest(bytes)),
        "sha384" => HEXLOWER.encode(&Sha384::digest(bytes)),
        "sha512" => HEXLOWER.encode(&Sha512::digest(bytes)),
        _ => HEXLOWER.encode(&Sha256::digest(bytes)),
    }
}

/// The path that messages name.
fn path_of(id: &str, content: &str) -> String {
    let (storage, name) = split(id).unwrap_or_default();
    let root = if storage == "local" {
        "/var/lib/vz".to_owned()
    } else {
        format!("/mnt/pve/{storage}")
    };
    let file = name.rsplit('/').next().unwrap_or_default();
    match content {
        "iso" => format!("{root}/template/iso/{file}"),
        "vztmpl" => format!("{root}/template/cache/{file}"),
        _ => format!("{root}/import/{file}"),
    }
}

impl Cluster {
    pub(crate) fn download_url(&mut self, call: &Call) -> Handled {
        let (id, format) = destination(self, call, "download")?;
        let content = call.get("content").unwrap_or_default().to_owned();
        if call.get("compression").is_some() && content != "iso" {
            return Err(Refusal::died(format!(
                "decompression not supported for {content}"
            )));
        }
        let file = id.rsplit('/').next().unwrap_or_default().to_owned();
        let url = call.get("url").unwrap_or_default().to_owned();
        let job = Job::Download(Download {
            id,
            content,
            format,
            url,
            checksum: checksum(call),
            loading: false,
        });
        self.spawn(&call.caller, call.node(), "download", &file, job)
            .map(Success::new)
    }

    pub(crate) fn upload(&mut self, call: &Call) -> Handled {
        let (id, format) = destination(self, call, "upload")?;
        let upload = call
            .upload
            .as_ref()
            .ok_or_else(|| Refusal::died("missing temporary file name"))?;
        let job = Job::Import(Import {
            id,
            content: call.get("content").unwrap_or_default().to_owned(),
            format,
            bytes: BASE64.encode(&upload.bytes),
            checksum: checksum(call),
            waited: false,
        });
        self.spawn(&call.caller, call.node(), "imgcopy", "", job)
            .map(Success::new)
    }
}

impl Cluster {
    /// pve-manager `API2/Nodes.pm` `query_url_metadata`: what a HEAD request from the node finds.
    pub(crate) fn url_metadata(&self, call: &Call) -> Handled {
        let url = call.get("url").unwrap_or_default();
        match self.images.get(url) {
            Some(image) if image.reachable => Ok(Success::new(json!({
                "filename": url.rsplit('/').next().unwrap_or_default(),
                "mimetype": "application/octet-stream",
                "size": image.size,
            }))),
            Some(_) => Err(Refusal::died(
                "invalid server response: '500 Can't connect (Connection timed out)'",
            )),
            None => Err(Refusal::died("invalid server response: '404 Not Found'")),
        }
    }
}

impl Download {
    pub(crate) fn step(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Step {
        let path = path_of(&self.id, &self.content);
        if !self.loading {
            scratch.log(format!("downloading {} to {path}", self.url));
            if let Some(volume) = cluster.volume(&scratch.node, &self.id).cloned() {
                return Step::Done(self.compare(&volume, &path, cluster, scratch));
            }
            let Some(image) = cluster
                .images
                .get(&self.url)
                .filter(|image| image.reachable)
            else {
                let code = if cluster.images.contains_key(&self.url) {
                    4
                } else {
                    8
                };
                scratch.log("download failed".to_owned());
                return Step::Done(Err(format!(
                    "download failed: command '/usr/bin/wget' failed: exit code {code}"
                )));
            };
            self.loading = true;
            let needed = image.size;
            let (storage, _) = split(&self.id).unwrap_or_default();
            if cluster.available(&scratch.node, storage) < needed {
                return Step::Done(Err(
                    "download failed: command '/usr/bin/wget' failed: exit code 3".to_owned(),
                ));
            }
            return Step::Again(
                (needed * 1000 / cluster.settings.download_per_second.max(1)).max(1),
            );
        }
        let Some(image) = cluster.images.get(&self.url).cloned() else {
            return Step::Done(Err("download failed".to_owned()));
        };
        if let Some((algorithm, expected)) = &self.checksum {
            let got = image.sums.get(algorithm).cloned().unwrap_or_default();
            if !got.eq_ignore_ascii_case(expected) {
                return Step::Done(Err(format!(
                    "checksum mismatch: got '{got}' != expect '{expected}'"
                )));
            }
            scratch.log("calculating checksum...OK, checksum verified".to_owned());
        }
        cluster.put_volume(
            &scratch.node,
            Volume {
                node: None,
                id: self.id.clone(),
                content: self.content.clone(),
                format: self.format.clone(),
                size: image.virtual_size,
                vmid: None,
                created: 0,
                bytes: None,
                sha256: image.sums.get("sha256").cloned(),
            },
        );
        scratch.log(format!("download of '{}' to '{path}' finished", self.url));
        Step::Done(Ok(()))
    }

    /// facts §1.5: a file that is there is fine if its checksum is, and in the way without one.
    fn compare(
        &self,
        volume: &Volume,
        path: &str,
        cluster: &Cluster,
        scratch: &mut Scratch,
    ) -> Result<(), String> {
        let Some((algorithm, expected)) = &self.checksum else {
            return Err(format!("refusing to override existing file '{path}'"));
        };
        let of_bytes = volume
            .bytes
            .as_ref()
            .and_then(|bytes| BASE64.decode(bytes.as_bytes()).ok());
        let of_source = || {
            let source = cluster
                .images
                .values()
                .find(|image| image.sums.get("sha256") == volume.sha256.as_ref())?;
            source.sums.get(algorithm).cloned()
        };
        let got = of_bytes
            .map(|bytes| sum(algorithm, &bytes))
            .or_else(of_source)
            .unwrap_or_default();
        if got.eq_ignore_ascii_case(expected) {
            scratch.log("calculating checksum of existing file...OK, got correct file already, no need to download".into());
            return Ok(());
        }
        Err(format!(
            "mismatch (got '{got}' != expect '{expected}'), aborting"
        ))
    }
}

impl Import {
    pub(crate) fn step(&mut self, cluster: &mut Cluster, scratch: &mut Scratch) -> Step {
        if !self.waited {
            self.waited = true;
            scratch
                .log("starting file import from: /var/tmp/pveupload-0123456789abcdef".to_owned());
            return Step::Again(cluster.settings.upload_ms);
        }
        let bytes = BASE64.decode(self.bytes.as_bytes()).unwrap_or_default();
        if let Some((algorithm, expected)) = &self.checksum {
            let got = sum(algorithm, &bytes);
            if !got.eq_ignore_ascii_case(expected) {
                return Step::Done(Err(format!(
                    "checksum mismatch: got '{got}' != expect '{expected}'"
                )));
            }
            scratch.log("calculating checksum...OK, checksum verified".to_owned());
        }
        let size = bytes.len() as u64;
        let (storage, _) = split(&self.id).unwrap_or_default();
        if cluster.available(&scratch.node, storage) < size {
            return Step::Done(Err("import failed: No space left on device".to_owned()));
        }
        scratch.log(format!("target node: {}", scratch.node));
        scratch.log(format!("target file: {}", path_of(&self.id, &self.content)));
        scratch.log(format!("file size is: {size}"));
        // facts §1.5: what was there under this name is overwritten without a word.
        cluster.put_volume(
            &scratch.node,
            Volume {
                node: None,
                id: self.id.clone(),
                content: self.content.clone(),
                format: self.format.clone(),
                size,
                vmid: None,
                created: 0,
                bytes: Some(std::mem::take(&mut self.bytes)),
                sha256: Some(sum("sha256", &bytes)),
            },
        );
        scratch.log("finished file import successfully".to_owned());
        Step::Done(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_made_harmless() {
        assert_eq!(normalize("../../etc/pass wd.iso"), "pass_wd.iso");
        assert_eq!(normalize("C:\\x\\a.iso"), "a.iso");
    }
}
