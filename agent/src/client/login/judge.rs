//! Whether a login gives what Omni needs to know a user. Pure.

use omni_scale_proto::v1::CheckStatus;

use super::token::{Claims, Verified};
use crate::client::grant::{CAPABILITY, host_of};
use crate::client::issuer::{IssuerError, one_line};
use crate::error::chain;
use crate::service::checks::Finding;

/// How a rollout goes on without a login.
pub(super) const WITHOUT: &str = "`--accept-unproven-identity`";
/// The domains of tailnet users that have no e-mail address: the current tsidp puts its own name
/// behind them (server/server.go, `realishEmail`), the older one leaves them as they are.
const WITHOUT_ADDRESS: [&str; 2] = ["github", "passkey"];

/// What a login must give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// Whom Omni lets in first. Empty: anybody will do.
    pub(super) emails: &'a [String],
    pub(super) unverified_accepted: bool,
}

/// What the claims of a token mean.
pub(super) fn judge(claims: &Claims, wanted: Wanted<'_>) -> Finding {
    let evidence = [
        ("issuer", claims.issuer.as_deref()),
        ("subject", claims.subject.as_deref()),
        ("email", claims.email.as_deref()),
    ];
    let mut lines: Vec<String> = evidence
        .iter()
        .map(|(name, value)| format!("{name}: {}", one_line(value.unwrap_or("absent"))))
        .collect();
    lines.push(one_line(&format!(
        "email_verified: {}",
        claims.email_verified
    )));
    verdict(claims, wanted).with_evidence(lines)
}

fn verdict(claims: &Claims, wanted: Wanted<'_>) -> Finding {
    if claims.issuer.as_deref() != Some(wanted.issuer) {
        let other = one_line(claims.issuer.as_deref().unwrap_or("none"));
        return Finding::failed(format!(
            "the token is of another issuer than {}: {other}",
            wanted.issuer
        ))
        .with_hint("Omni believes only the issuer of the deployment, to the letter: correct `identity`, or the name and port of the tsidp");
    }
    if !claims.audience.iter().any(|id| id == wanted.client_id) {
        return Finding::failed(format!(
            "the token is not for Omni's client `{}`",
            wanted.client_id
        ))
        .with_hint("the code was asked for with another client: run the check again");
    }
    if claims.nonce.as_deref().unwrap_or_default() != wanted.nonce {
        return Finding::failed("the token does not belong to this login: its nonce is another one")
            .with_hint("run the check again; if it stays so, something between this host and the issuer answers in its place");
    }
    let Some(email) = claims.email.as_deref() else {
        return Finding::failed(
            "the issuer names no e-mail address, and Omni knows users by nothing else",
        )
        .with_hint("the login must ask for the scope `email`, and the issuer must give it");
    };
    if claims.email_verified != Verified::True && !wanted.unverified_accepted {
        return unverified(&claims.email_verified);
    }
    expected(email, wanted)
}

fn unverified(said: &Verified) -> Finding {
    Finding::failed(format!(
        "Omni would refuse every login: `email_verified` must be the boolean true, and is {}",
        one_line(&said.to_string())
    ))
    .with_hint(format!(
        "either the tailnet policy grants {{\"extraClaims\": {{\"email_verified\": true}}, \"includeInUserInfo\": true}} under \"{CAPABILITY}\" to who logs in (a tsidp of v0.0.4 or later: the older one drops booleans); \
         or the deployment says `omni.allow_unverified_email: true` (Omni 1.4.0 or later)"
    ))
}

/// Whether the address is one that Omni waits for.
fn expected(email: &str, wanted: Wanted<'_>) -> Finding {
    let shown = one_line(email);
    let same = |one: &String| one.eq_ignore_ascii_case(email);
    if wanted.emails.is_empty() || wanted.emails.iter().any(same) {
        return Finding::passed(format!(
            "the issuer calls the user {shown}, as Omni needs it"
        ));
    }
    let users = one_line(&wanted.emails.join(", "));
    let host = host_of(wanted.issuer);
    let is_synthetic = |email: &str| is_synthetic(email, host);
    // Where the deployment knows this form of address, another user has logged in.
    if is_synthetic(email) && !wanted.emails.iter().any(|one| is_synthetic(one)) {
        return Finding::failed(format!(
            "tsidp calls this user {shown}, and `omni.initial_users` names {users}"
        ))
        .with_hint(format!(
            "a tailnet user who logs in by GitHub or a passkey has no other address: write `{shown}` there"
        ));
    }
    Finding::unknown(format!(
        "the login of {shown} was in order, which proves nothing about {users}"
    ))
    .with_hint(format!(
        "run it from a device of one of them; {WITHOUT} goes on without"
    ))
}

fn is_synthetic(email: &str, host: &str) -> bool {
    let Some((_, domain)) = email.rsplit_once('@') else {
        return false;
    };
    let domain = domain.to_ascii_lowercase();
    let below = domain.strip_suffix(&host.to_ascii_lowercase());
    WITHOUT_ADDRESS.contains(&domain.as_str())
        || !host.is_empty() && below.is_some_and(|rest| rest.ends_with('.'))
}

/// What an exchange that gave no token means. `given`: somebody set the id and the secret.
pub(super) fn judge_failure(error: &IssuerError, given: bool, names: [&str; 2]) -> Finding {
    let text = chain(error);
    let said = match error {
        IssuerError::Refused { .. } => return wrong_client(&text, given, names),
        IssuerError::Rejected { text, .. } => text.to_ascii_lowercase(),
        IssuerError::NotThere { .. }
        | IssuerError::Unreachable { .. }
        | IssuerError::Unknown { .. } => String::new(),
    };
    if said.contains("tagged node") {
        return Finding::unknown(
            "the login came from a tagged device, behind which there is no user",
        )
        .with_hint(format!(
            "run it from a device that a user has logged in; {WITHOUT} goes on without"
        ));
    }
    let of_client = ["invalid_client", "invalid client", "client_id mismatch"];
    if of_client.iter().any(|words| said.contains(words)) {
        return wrong_client(&text, given, names);
    }
    if said.contains("extra claim") {
        return Finding::failed(format!("no login gets a token: {text}")).with_hint(format!(
            "a grant under \"{CAPABILITY}\" names a claim in `extraClaims` that tsidp sets itself: take it out of the tailnet policy"
        ));
    }
    Finding::unknown(text).with_hint(format!(
        "a code is good for one try: run it again; {WITHOUT} goes on without"
    ))
}

fn wrong_client(text: &str, given: bool, names: [&str; 2]) -> Finding {
    let hint = if given {
        format!("set the right ones with {}", set_both(names))
    } else {
        "the issuer has lost or replaced the client: was its state restored or removed? `omni-scale apply` registers a new one when the issuer lists its clients to this host".to_owned()
    };
    Finding::failed(format!(
        "the issuer does not take the client's id and secret: {text}"
    ))
    .with_hint(hint)
}

/// How somebody sets an id and a secret.
pub(super) fn set_both([id, secret]: [&str; 2]) -> String {
    format!("`omni-scale secret set HOST {id}` and `omni-scale secret set HOST {secret}`")
}

/// A login that could not be judged, after one that was.
pub(super) fn proven_before(finding: Finding, when: &str, email: &str) -> Finding {
    let summary = format!(
        "a login with this client was in order on {when}, of {}; this time nothing was proven: {}",
        one_line(email),
        finding.summary
    );
    Finding {
        status: CheckStatus::Warning,
        summary,
        ..finding
    }
}
