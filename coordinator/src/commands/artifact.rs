//! `artifact upload`.

use omni_scale_proto::id::Sha256;
use serde_json::json;

use super::Context;
use super::context::known_host;
use crate::agents::grpc::Upload;
use crate::arguments::UploadArguments;
use crate::exit::Exit;
use crate::files;
use crate::output::{Activity, Stop};

/// The contract's limit, in bytes.
const SIZE_LIMIT: u64 = 256 << 20;

/// Runs it.
pub(super) async fn upload(context: &Context, arguments: UploadArguments) -> anyhow::Result<Exit> {
    let deployment = context.deployment()?;
    let host = &arguments.host;
    known_host(&deployment, host)?;
    let agents = context.agents(&deployment)?;
    let path = context.path(&arguments.file);
    let program = files::read(&path)?;
    let size = program.len() as u64;
    if !(1..=SIZE_LIMIT).contains(&size) {
        let message = format!(
            "`{}` has {size} bytes; 1 to {SIZE_LIMIT} are allowed",
            path.display()
        );
        return Err(Stop::new(Exit::Usage, message).into());
    }
    let sha256 = Sha256::of(&program);
    drop(program);
    let upload = Upload {
        path: &path,
        sha256: &sha256,
        size,
    };
    let activity = Activity::new(&context.output);
    activity.wait(host.as_str(), "uploading");
    let answer = agents
        .put_artifact(host, upload, &|sent| {
            if context.output.surface().live {
                let percent = sent * 100 / size;
                activity.wait(host.as_str(), &format!("uploading, {percent} %"));
            }
        })
        .await?;
    drop(activity);
    if context.output.is_json() {
        let value = json!({ "host": host, "sha256": sha256, "known": answer.known });
        context.output.json("artifact", &value)?;
    } else {
        let done = if answer.known {
            "has it already"
        } else {
            "has it"
        };
        context
            .output
            .data(&format!("host `{host}` {done}; sha256: {sha256}"))?;
    }
    Ok(Exit::Done)
}
