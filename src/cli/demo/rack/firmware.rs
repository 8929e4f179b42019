//! Firmware, and a UEFI machine's variable store as it comes from the factory.
//!
//! A UEFI machine remembers its boot order in its variables, and installers change it. QEMU's
//! `bootindex` would overrule that memory at every boot, so it is not used: a new machine is started
//! once without a cable, which makes the firmware write down its boot options, and then the order is
//! set as an administrator sets it on metal: this one network option, then the disk, then the rest.

use std::fs;
use std::path::Path;

use super::RackError;

/// What a machine's firmware is and how it asks the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, and iPXE in the network card's ROM.
    Bios,
    /// EDK2, booting by PXE: TFTP for the first file.
    UefiPxe,
    /// EDK2, booting by HTTP.
    UefiHttp,
    /// EDK2 with Microsoft's keys enrolled and Secure Boot on, booting by PXE.
    UefiSecureBoot,
}

const SHARE: &str = "/usr/share/OVMF";

impl Firmware {
    /// Every one of them.
    pub const ALL: [Firmware; 4] = [
        Firmware::Bios,
        Firmware::UefiPxe,
        Firmware::UefiHttp,
        Firmware::UefiSecureBoot,
    ];

    /// Whether it is a UEFI.
    pub fn is_uefi(self) -> bool {
        self != Firmware::Bios
    }

    /// QEMU's arguments for it; `variables` is its variable store.
    pub(super) fn arguments(self, variables: &Path) -> Vec<String> {
        let secure = match self {
            Firmware::Bios => return Vec::new(),
            Firmware::UefiPxe | Firmware::UefiHttp => false,
            Firmware::UefiSecureBoot => true,
        };
        let code = if secure {
            "OVMF_CODE_4M.secboot.fd"
        } else {
            "OVMF_CODE_4M.fd"
        };
        let mut words = vec![
            "-machine".to_string(),
            "q35,smm=on".to_string(),
            "-drive".to_string(),
            format!("if=pflash,format=raw,unit=0,readonly=on,file={SHARE}/{code}"),
            "-drive".to_string(),
            format!("if=pflash,format=raw,unit=1,file={}", variables.display()),
        ];
        if secure {
            words.push("-global".to_string());
            words.push("driver=cfi.pflash01,property=secure,value=on".to_string());
        }
        // Without these, EDK2 tries each protocol for a minute; nothing here speaks IPv6.
        let mut off = vec!["IPv6PXESupport"];
        if self == Firmware::UefiHttp {
            off.push("IPv4PXESupport");
        }
        for name in off {
            words.push("-fw_cfg".to_string());
            words.push(format!("name=opt/org.tianocore/{name},string=n"));
        }
        words
    }

    /// A variable store that no machine has used.
    pub(super) fn blank(self, variables: &Path) -> Result<(), RackError> {
        let from = match self {
            Firmware::UefiSecureBoot => "OVMF_VARS_4M.ms.fd",
            _ => "OVMF_VARS_4M.fd",
        };
        let from = Path::new(SHARE).join(from);
        fs::copy(&from, variables).map_err(RackError::file(&from))?;
        Ok(())
    }

    /// Puts this firmware's way of asking the network first and the disk second in the boot order.
    ///
    /// # Errors
    /// The firmware has not written down its boot options yet, or the file is no variable store.
    pub(super) fn order(self, variables: &Path) -> Result<(), RackError> {
        let mut bytes = fs::read(variables).map_err(RackError::file(variables))?;
        let network = match self {
            Firmware::UefiHttp => "HTTPv4",
            _ => "PXEv4",
        };
        reorder(&mut bytes, network)
            .map_err(|why| RackError::Missing(format!("`{}`: {why}", variables.display())))?;
        fs::write(variables, bytes).map_err(RackError::file(variables))
    }
}

/// Where one live variable is in the store.
#[derive(Debug)]
struct Variable {
    name: String,
    data: std::ops::Range<usize>,
}

/// The headers of a variable store (EDK2, `Include/Guid/VariableFormat.h`): the length of a volume's
/// header is at 48, the store's header has 28 bytes, an authenticated variable's 60.
fn variables(bytes: &[u8]) -> Result<Vec<Variable>, &'static str> {
    if bytes.get(40..44) != Some(b"_FVH") {
        return Err("this is no firmware volume");
    }
    let u16_at = |at: usize| {
        Some(usize::from(u16::from_le_bytes(
            bytes.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let u32_at = |at: usize| {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(word)).ok()
    };
    let store = u16_at(48).ok_or("the volume is cut short")?;
    let end = store + u32_at(store + 16).ok_or("the store is cut short")?;
    let mut at = store + 28;
    let mut found = Vec::new();
    while at + 60 <= end.min(bytes.len()) && u16_at(at) == Some(0x55aa) {
        let (Some(name), Some(data)) = (u32_at(at + 36), u32_at(at + 40)) else {
            break;
        };
        let text = at + 60..at + 60 + name;
        let data = text.end..text.end + data;
        let Some(raw) = bytes.get(text) else { break };
        if data.end > bytes.len() {
            break;
        }
        // 0x3f: added and never deleted; anything else is the past.
        if bytes[at + 2] == 0x3f {
            found.push(Variable {
                name: utf16(raw),
                data: data.clone(),
            });
        }
        at = data.end.next_multiple_of(4);
    }
    Ok(found)
}

fn reorder(bytes: &mut [u8], network: &str) -> Result<(), &'static str> {
    let found = variables(bytes)?;
    let order = found.iter().find(|v| v.name == "BootOrder");
    let order = order.ok_or("there is no boot order yet")?.data.clone();
    let mut entries: Vec<[u8; 2]> = bytes[order.clone()]
        .chunks_exact(2)
        .map(|c| [c[0], c[1]])
        .collect();
    let describe = |entry: &[u8; 2]| {
        let name = format!("Boot{:04X}", u16::from_le_bytes(*entry));
        let option = found.iter().find(|v| v.name == name);
        // A load option: attributes (4), path length (2), description.
        option.map_or_else(String::new, |v| utf16(&bytes[v.data.clone()][6..]))
    };
    let rank = |entry: &[u8; 2]| {
        let text = describe(entry);
        if text.contains(network) {
            0
        } else if ["PXE", "HTTP", "UiApp", "Shell"]
            .iter()
            .any(|w| text.contains(w))
            || text.is_empty()
        {
            2
        } else {
            1
        }
    };
    if !entries.iter().any(|e| rank(e) == 0) {
        return Err("the firmware found no network card");
    }
    entries.sort_by_key(rank);
    bytes[order].copy_from_slice(&entries.concat());
    Ok(())
}

/// Little-endian UTF-16 up to its first zero.
fn utf16(raw: &[u8]) -> String {
    let units = raw
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]));
    char::decode_utf16(units.take_while(|u| *u != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, state: u8, data: &[u8]) -> Vec<u8> {
        let name: Vec<u8> = name
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut out = vec![0; 60];
        out[..2].copy_from_slice(&[0xaa, 0x55]);
        out[2] = state;
        out[36..40].copy_from_slice(&(name.len() as u32).to_le_bytes());
        out[40..44].copy_from_slice(&(data.len() as u32).to_le_bytes());
        out.extend(name);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0xff);
        out
    }

    fn option(text: &str) -> Vec<u8> {
        let mut out = vec![1, 0, 0, 0, 4, 0];
        out.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        out
    }

    fn store(variables: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0; 72 + 28];
        out[40..44].copy_from_slice(b"_FVH");
        out[48] = 72;
        out.extend(variables.concat());
        let size = (out.len() + 64 - 72) as u32;
        out[72 + 16..72 + 20].copy_from_slice(&size.to_le_bytes());
        out.resize(out.len() + 64, 0xff);
        out
    }

    #[test]
    fn the_network_comes_first_and_the_disk_second() {
        let mut bytes = store(&[
            variable("BootOrder", 0x3c, &[9, 0]),
            variable("Boot0000", 0x3f, &option("UiApp")),
            variable("Boot0001", 0x3f, &option("UEFI Misc Device")),
            variable("Boot0002", 0x3f, &option("UEFI HTTPv4 (MAC:52)")),
            variable("Boot0003", 0x3f, &option("UEFI PXEv4 (MAC:52)")),
            variable("BootOrder", 0x3f, &[0, 0, 1, 0, 2, 0, 3, 0]),
        ]);
        reorder(&mut bytes, "PXEv4").expect("an order");
        let found = variables(&bytes).expect("a store");
        let order = found.iter().find(|v| v.name == "BootOrder").expect("live");
        assert_eq!(bytes[order.data.clone()], [3, 0, 1, 0, 0, 0, 2, 0]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |bytes: Vec<u8>, want: &str| {
            let mut bytes = bytes;
            assert_eq!(reorder(&mut bytes, "PXEv4"), Err(want));
        };
        check(vec![0; 100], "this is no firmware volume");
        check(store(&[]), "there is no boot order yet");
        check(
            store(&[variable("BootOrder", 0x3f, &[1, 0])]),
            "the firmware found no network card",
        );
    }
}
