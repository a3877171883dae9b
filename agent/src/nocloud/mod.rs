//! First-boot data for a virtual machine: the CD-ROM image that cloud-init and Talos know as NoCloud.
//!
//! Pure: the same data gives the same bytes, so that an image that was uploaded can be compared
//! with the one that was meant. It holds secrets, so it is overwritten when it is dropped.

mod iso9660;
#[cfg(test)]
mod tests;

use omni_scale_proto::machine::MachineIdentity;
use zeroize::Zeroizing;

use iso9660::File;

/// The label by which a booting machine finds the image.
pub const VOLUME_LABEL: &str = "cidata";
/// Bytes that user-data or a network configuration may have: far more than either has ever had,
/// and little enough to be held in memory.
pub const LIMIT: usize = 1 << 20;

/// Data that fits in no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}` has {length} bytes, and first-boot data may have {LIMIT}")]
pub struct TooLarge {
    /// The file that it was to be.
    pub file: &'static str,
    /// Its length.
    pub length: usize,
}

/// What a machine reads when it boots for the first time.
///
/// It is no `Debug`: user-data holds secrets.
#[derive(Clone, Copy)]
pub struct FirstBoot<'a> {
    /// The machine: cloud-init does its work once for each UUID, and the name is its host name.
    pub machine: &'a MachineIdentity,
    /// A cloud-config, or a configuration of Talos.
    pub user_data: &'a [u8],
    /// `network-config`. Without one the machine asks every interface's DHCP server.
    pub network_configuration: Option<&'a str>,
}

impl FirstBoot<'_> {
    /// The image, an ISO 9660 file system labelled [`VOLUME_LABEL`].
    pub fn image(&self) -> Result<Zeroizing<Vec<u8>>, TooLarge> {
        let meta_data = self.meta_data();
        let mut files = vec![File {
            name: "meta-data",
            short_name: "METADATA.;1",
            contents: meta_data.as_bytes(),
        }];
        if let Some(configuration) = self.network_configuration {
            files.push(File {
                name: "network-config",
                short_name: "NETWORK.;1",
                contents: configuration.as_bytes(),
            });
        }
        files.push(File {
            name: "user-data",
            short_name: "USERDATA.;1",
            contents: self.user_data,
        });
        for file in &files {
            if file.contents.len() > LIMIT {
                return Err(TooLarge {
                    file: file.name,
                    length: file.contents.len(),
                });
            }
        }
        Ok(iso9660::image(VOLUME_LABEL, &files))
    }

    fn meta_data(&self) -> String {
        let uuid = self.machine.uuid();
        let name = self.machine.name();
        // Quoted: a host may be called `on` or `1e3`, which YAML takes for something else.
        format!("instance-id: \"{uuid}\"\nlocal-hostname: \"{name}\"\n")
    }
}
