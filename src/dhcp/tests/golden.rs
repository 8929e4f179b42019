//! Goldens: each `tests/golden/dhcp/NAME.hex` is a request as it was on the wire (lines with `#`
//! say where it comes from), and `NAME.txt` what is made of it: facts, and the reply to the machine
//! when it is flagged, when it is not, and when another server hands out the addresses.
//! `UPDATE_GOLDEN=1 cargo test dhcp::tests::golden` writes them anew.

use std::fmt::Write;
use std::path::Path;

use super::super::testing::*;
use super::super::{facts, parse, quirks, wire};
use crate::model::{DhcpMode, Door, LoaderKind};

#[test]
fn packets_of_real_clients() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dhcp");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&root).expect("the goldens") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "hex") {
            continue;
        }
        count += 1;
        let told = told(&bytes(&std::fs::read_to_string(&path).expect("text")));
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &told).expect("written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            failed.push(format!("--- {}\n{told}", path.display()));
        }
    }
    assert!(count >= 12, "only {count} packets found");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .flat_map(|l| l.chars().filter(|c| !c.is_whitespace()))
        .collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

fn told(packet: &[u8]) -> String {
    let request = parse(packet).expect("a request");
    let found = facts(&request, Door::Dhcp);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("{:?} from {}", request.kind, request.mac));
    line(format!(
        "stage {:?}, firmware {:?}",
        found.stage, found.firmware
    ));
    line(format!(
        "hostname {:?}, iPXE {:?}",
        request.hostname(),
        request.ipxe
    ));
    line(format!(
        "quirks {:?}",
        quirks::quirks(&request).map(|q| q.name).collect::<Vec<_>>()
    ));
    for (case, mode, flagged) in [
        ("flagged", DhcpMode::Full, Some(LoaderKind::Ipxe)),
        (
            "flagged, Secure Boot",
            DhcpMode::Full,
            Some(LoaderKind::Grub),
        ),
        ("not flagged", DhcpMode::Full, None),
        ("flagged, proxy", DhcpMode::Proxy, Some(LoaderKind::Ipxe)),
    ] {
        let mut rig = Rig::new();
        rig.site.subnets.push(subnet("10.78.0.0/24", None));
        let ip = match request.giaddr {
            Some(_) => [10, 78, 0, 11],
            None => [10, 77, 0, 11],
        };
        rig.add("web01", &request.mac.to_string(), Some(ip));
        rig.flagged = flagged;
        rig.place.mode = mode;
        let seen = rig.send(packet);
        line(format!("\n== {case}"));
        line(printed(&seen));
    }
    out
}

/// A machine whose distro has a shim and a GRUB of its own, and every other one beside it.
#[test]
fn a_distros_own_shim() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dhcp");
    let mut told = String::new();
    for packet in [
        "edk2-pxe-arch7",
        "edk2-http-arch16",
        "arm64-pxe",
        "intel-bios-pxe",
    ] {
        let path = root.join(format!("{packet}.hex"));
        let packet_bytes = bytes(&std::fs::read_to_string(path).expect("text"));
        let request = parse(&packet_bytes).expect("a request");
        for (case, mode) in [("", DhcpMode::Full), (", proxy", DhcpMode::Proxy)] {
            let mut rig = Rig::new();
            rig.add("web01", &request.mac.to_string(), Some([10, 77, 0, 11]));
            rig.flagged = Some(LoaderKind::Grub);
            rig.way.pair = Some(own_pair("rocky-9"));
            rig.place.mode = mode;
            let seen = rig.send(&packet_bytes);
            let _infallible = write!(told, "== {packet}{case}\n{}\n\n", printed(&seen));
        }
    }
    let expected = root.join("own-pair.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&expected, &told).expect("written");
    }
    let golden = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(golden, told);
}

fn printed(seen: &Seen) -> String {
    let Some(to) = seen.to else {
        return format!("{}: {:?}", seen.word, seen.silence);
    };
    let bytes = &seen.bytes;
    let mut out = format!("{} of {} bytes to {to:?}", seen.word, bytes.len());
    for (name, at) in [
        ("ciaddr", 12),
        ("yiaddr", 16),
        ("siaddr", 20),
        ("giaddr", 24),
    ] {
        let address: [u8; 4] = bytes[at..at + 4].try_into().expect("four");
        let address = std::net::Ipv4Addr::from(address);
        if !address.is_unspecified() {
            let _infallible = write!(out, "\n{name} {address}");
        }
    }
    for (name, field) in [("sname", &bytes[44..108]), ("file", &bytes[108..236])] {
        if field[0] != 0 {
            let text = String::from_utf8_lossy(field);
            let _infallible = write!(out, "\n{name} {}", text.trim_end_matches('\0'));
        }
    }
    for (code, value) in wire::suboptions(&bytes[wire::HEADER..]) {
        let printable = !value.is_empty()
            && value
                .iter()
                .all(|b| b.is_ascii_graphic() || *b == b' ' || *b == 0)
            && value.iter().any(|b| b.is_ascii_alphabetic());
        let _infallible = if printable && value.len() > 4 {
            write!(out, "\n{code:3} {:?}", String::from_utf8_lossy(value))
        } else {
            write!(out, "\n{code:3} {value:?}")
        };
    }
    out
}
