//! SMBIOS settings: the uuid that is a VM's identity, and a serial number that can say where its data is.

use std::{fmt, str::FromStr};

use data_encoding::BASE64;
use uuid::Uuid;

use super::{PropertyString, ValueError};

/// What `smbios1` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smbios {
    /// The VM's identity, chosen by whoever makes it.
    pub uuid: Uuid,
    /// The system's serial number; `ds=nocloud-net;s=http://…` makes it a source of user-data.
    pub serial: Option<String>,
}

impl fmt::Display for Smbios {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = PropertyString::default().with("uuid", self.uuid);
        match &self.serial {
            // A serial number may hold what a property string may not.
            Some(serial) => settings
                .with("serial", BASE64.encode(serial.as_bytes()))
                .flag("base64", true)
                .fmt(formatter),
            None => settings.fmt(formatter),
        }
    }
}

impl FromStr for Smbios {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ValueError::new(text, "SMBIOS settings with a uuid");
        let settings: PropertyString = text.parse()?;
        let uuid = settings
            .get("uuid")
            .and_then(|uuid| uuid.parse().ok())
            .ok_or_else(error)?;
        let encoded = settings
            .get("base64")
            .and_then(crate::tolerant::boolean)
            .unwrap_or(false);
        let serial = match settings.get("serial") {
            Some(serial) if encoded => {
                let bytes = BASE64.decode(serial.as_bytes()).map_err(|_| error())?;
                Some(String::from_utf8(bytes).map_err(|_| error())?)
            }
            serial => serial.map(str::to_owned),
        };
        Ok(Self { uuid, serial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let uuid = "3f2a0000-0000-5000-8000-000000000001".parse().unwrap();
        for (serial, text) in [
            (None, "uuid=3f2a0000-0000-5000-8000-000000000001"),
            (
                Some("ds=nocloud-net;s=http://192.0.2.1/,x"),
                "uuid=3f2a0000-0000-5000-8000-000000000001,serial=ZHM9bm9jbG91ZC1uZXQ7cz1odHRwOi8vMTkyLjAuMi4xLyx4,base64=1",
            ),
        ] {
            let smbios = Smbios {
                uuid,
                serial: serial.map(str::to_owned),
            };
            assert_eq!(smbios.to_string(), text);
            assert_eq!(text.parse::<Smbios>().unwrap(), smbios);
        }
        for text in [
            "",
            "uuid=x",
            "serial=x",
            "uuid=3f2a0000-0000-5000-8000-000000000001,serial=%,base64=1",
        ] {
            assert!(text.parse::<Smbios>().is_err(), "{text}");
        }
    }
}
