//! Secrets come in; names, times and keyed digests go out. The one exception is the export of a value that was made
//! here, to the operator who had it made, until it is confirmed.

use std::sync::Arc;

use omni_scale_proto::id::SecretName;
use omni_scale_proto::operation::{Operation, Target};
use omni_scale_proto::v1;
use omni_scale_proto::v1::generate_secret_request::Action;
use omni_scale_proto::v1::secret_recipe::Recipe;
use rand::RngCore as _;
use tonic::Status;

use super::Host;
use crate::operation::{Done, Failure, OperationError};
use crate::secrets::{SecretError, SecretValue, Secrets, open_pgp};
use crate::server::status::status;

pub(super) async fn put(
    host: &Host,
    request: v1::PutSecretRequest,
) -> Result<v1::PutSecretResponse, Status> {
    let usage = request.r#use();
    let value = SecretValue::new(request.value);
    let (operation, name) = decode(request.operation, &request.name)?;
    let kept = name.clone();
    let outcome = run(host, operation, &name, "put", move |secrets| {
        secrets.put_for(&kept, &value, usage)?;
        Ok(Done::new(format!("secret `{kept}` is set")))
    })
    .await?;
    let secret = host.secrets.record(&name).map(Into::into);
    Ok(v1::PutSecretResponse {
        outcome: Some(outcome),
        secret,
    })
}

pub(super) async fn generate(
    host: &Host,
    request: v1::GenerateSecretRequest,
) -> Result<v1::GenerateSecretResponse, Status> {
    let (operation, name) = decode(request.operation, &request.name)?;
    let missing =
        || Status::invalid_argument("the request asks neither to make nor to confirm a secret");
    match request.action.ok_or_else(missing)? {
        Action::Make(recipe) => {
            let recipe = recipe.recipe.ok_or_else(missing)?;
            make(host, operation, name, recipe).await
        }
        Action::ConfirmDigest(digest) => confirm(host, operation, name, digest).await,
    }
}

async fn make(
    host: &Host,
    operation: Operation,
    name: SecretName,
    recipe: Recipe,
) -> Result<v1::GenerateSecretResponse, Status> {
    let kept = name.clone();
    let outcome = run(host, operation, &name, "generate", move |secrets| {
        let value = cook(&recipe)?;
        secrets.put_candidate(&kept, &value)?;
        Ok(Done::new(format!(
            "a value for secret `{kept}` is made and waits for its confirmation"
        )))
    })
    .await?;
    // Told again when the first answer was lost: until the confirmation, the value is in use nowhere.
    let candidate = host
        .secrets
        .candidate(&name)
        .filter(|_| outcome.failure.is_none());
    let (secret, export) = candidate.unzip();
    Ok(v1::GenerateSecretResponse {
        outcome: Some(outcome),
        secret: secret.map(Into::into),
        export: export.map_or(Vec::new(), |export| export.expose().to_vec()),
    })
}

async fn confirm(
    host: &Host,
    operation: Operation,
    name: SecretName,
    digest: String,
) -> Result<v1::GenerateSecretResponse, Status> {
    let kept = name.clone();
    let outcome = run(host, operation, &name, "confirm", move |secrets| {
        secrets.confirm_candidate(&kept, &digest)?;
        Ok(Done::new(format!(
            "the value made for secret `{kept}` is in force"
        )))
    })
    .await?;
    let secret = host.secrets.record(&name).map(Into::into);
    Ok(v1::GenerateSecretResponse {
        outcome: Some(outcome),
        secret,
        export: Vec::new(),
    })
}

fn cook(recipe: &Recipe) -> Result<SecretValue, Failure> {
    match recipe {
        Recipe::OpenPgp(recipe) => open_pgp::generate(&recipe.user_id)
            .map_err(|error| Failure::from_error(v1::FailureClass::Permanent, &error)),
        Recipe::RandomBytes(count @ 16..=64) => {
            let mut bytes = zeroize::Zeroizing::new(vec![0; *count as usize]);
            rand::rngs::OsRng.fill_bytes(&mut bytes);
            let hex = data_encoding::HEXLOWER.encode(&bytes);
            Ok(SecretValue::new(hex.into_bytes()))
        }
        Recipe::RandomBytes(count) => {
            let message =
                format!("cannot make a secret of {count} random bytes: 16 to 64 are allowed");
            Err(Failure::new(v1::FailureClass::Permanent, message))
        }
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let class = match &error {
            SecretError::File(_) => v1::FailureClass::Transient,
            SecretError::Damaged { .. }
            | SecretError::Size { .. }
            | SecretError::Full
            | SecretError::NoCandidate { .. } => v1::FailureClass::Permanent,
        };
        Self::from_error(class, &error)
    }
}

fn decode(operation: Option<v1::Operation>, name: &str) -> Result<(Operation, SecretName), Status> {
    let operation =
        Operation::try_from(operation).map_err(|error| status(&OperationError::from(error)))?;
    let name = name
        .parse()
        .map_err(|error| status(&OperationError::from(error)))?;
    Ok((operation, name))
}

/// Runs work on the store where it may block: the disk, or seconds of arithmetic.
async fn run(
    host: &Host,
    operation: Operation,
    name: &SecretName,
    action: &str,
    work: impl FnOnce(Arc<Secrets>) -> Result<Done, Failure> + Send + 'static,
) -> Result<v1::Outcome, Status> {
    let secrets = host.secrets.clone();
    let target = Target::Secret(name.clone());
    let running = host
        .operations
        .run(operation, target, action, "", async move |_| {
            let worked = tokio::task::spawn_blocking(move || work(secrets)).await;
            worked.unwrap_or_else(|error| Err(Failure::from_error(v1::FailureClass::Bug, &error)))
        })
        .await
        .map_err(|error| status(&error))?;
    Ok(running.outcome().await)
}
