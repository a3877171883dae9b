//! From the errors of the bus to those of the port.

use zbus::fdo;

use crate::unit::error::UnitsError;

/// What an error of the bus means for an `action` on `unit`.
pub(super) fn classify(action: &str, unit: &str, error: zbus::Error) -> UnitsError {
    let attempt = format!("{action} `{unit}`");
    let (name, text) = match &error {
        zbus::Error::FDO(known) => match &**known {
            // polkit says no, or wants to ask a person; the bus's own policy says no.
            fdo::Error::AccessDenied(text)
            | fdo::Error::AuthFailed(text)
            | fdo::Error::InteractiveAuthorizationRequired(text) => {
                let text = text.clone();
                return UnitsError::Denied { attempt, text };
            }
            fdo::Error::InvalidArgs(text)
            | fdo::Error::UnknownMethod(text)
            | fdo::Error::UnknownInterface(text) => {
                ("org.freedesktop.DBus.Error".to_owned(), text.clone())
            }
            _ => {
                let source = Box::new(error);
                return UnitsError::Unreachable { attempt, source };
            }
        },
        zbus::Error::MethodError(name, text, _) => {
            (name.to_string(), text.clone().unwrap_or_default())
        }
        _ => {
            let source = Box::new(error);
            return UnitsError::Unreachable { attempt, source };
        }
    };
    match name.as_str() {
        "org.freedesktop.systemd1.NoSuchUnit" => UnitsError::NotFound {
            unit: unit.to_owned(),
        },
        _ => UnitsError::Rejected {
            attempt,
            name,
            text,
        },
    }
}
