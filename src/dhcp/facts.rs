//! Identify: a request becomes facts that `decide` understands.

use super::quirks;
use super::request::{Class, Request};
use crate::model::{ClientStage, Door, Facts, Firmware};

/// Who asks, with which firmware, at which stage of the chain.
pub fn facts(request: &Request<'_>, door: Door) -> Facts {
    let stage = match (request.ipxe, request.class) {
        (Some(_), _) => ClientStage::Ipxe,
        (None, Class::Pxe | Class::Http | Class::UBoot) => ClientStage::Rom,
        (None, Class::Other) => ClientStage::Os,
    };
    let firmware = match stage {
        ClientStage::Os => None,
        _ => firmware(request),
    };
    Facts {
        mac: request.mac,
        ip: request.ciaddr,
        door,
        firmware,
        stage,
    }
}

/// What the codes say, corrected by what is known of this client.
fn firmware(request: &Request<'_>) -> Option<Firmware> {
    let said = Firmware::from_code(request.arch?);
    let effect = quirks::effect(request);
    Some(Firmware {
        arch: effect.arch.unwrap_or(said.arch),
        http: effect.http.unwrap_or(said.http),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::model::Arch;

    fn check(options: &[(u8, &[u8])], mac: &str, expected: (ClientStage, Option<Firmware>)) {
        let bytes = testing::discover(mac, options);
        let request = super::super::request::parse(&bytes).expect("a request");
        let facts = facts(&request, Door::Dhcp);
        assert_eq!((facts.stage, facts.firmware), expected, "{options:?}");
    }

    #[test]
    fn stages_and_firmware() {
        use ClientStage::{Ipxe, Os, Rom};
        let mac = "52:54:00:00:00:01";
        let pxe: &[u8] = b"PXEClient:Arch:00007:UNDI:003016";
        let http: &[u8] = b"HTTPClient:Arch:00016:UNDI:003001";
        let of = |arch, http| Some(Firmware { arch, http });
        check(
            &[(60, pxe), (93, &[0, 7])],
            mac,
            (Rom, of(Arch::X64Uefi, false)),
        );
        check(
            &[(60, pxe), (93, &[0, 9])],
            mac,
            (Rom, of(Arch::X64Uefi, false)),
        );
        // no option 93: the text of option 60 says it
        check(&[(60, pxe)], mac, (Rom, of(Arch::X64Uefi, false)));
        check(
            &[(60, http), (93, &[0, 16])],
            mac,
            (Rom, of(Arch::X64Uefi, true)),
        );
        // an HTTP code with the PXE class is PXE, and the other way round
        check(
            &[(60, pxe), (93, &[0, 16])],
            mac,
            (Rom, of(Arch::X64Uefi, false)),
        );
        check(
            &[(60, http), (93, &[0, 7])],
            mac,
            (Rom, of(Arch::X64Uefi, true)),
        );
        check(&[(60, b"PXEClient")], mac, (Rom, None));
        check(
            &[
                (60, b"PXEClient:Arch:00000:UNDI:002001"),
                (93, &[0, 0]),
                (77, b"iPXE"),
            ],
            mac,
            (Ipxe, of(Arch::X86Bios, false)),
        );
        check(
            &[(77, b"\x04iPXE"), (93, &[0, 7])],
            mac,
            (Ipxe, of(Arch::X64Uefi, false)),
        );
        check(
            &[(175, &[19, 1, 1]), (93, &[0, 7])],
            mac,
            (Ipxe, of(Arch::X64Uefi, false)),
        );
        check(&[(60, b"d-i"), (93, &[0, 0])], mac, (Os, None));
        check(&[(60, b"udhcp 1.35.0")], mac, (Os, None));
        check(&[], mac, (Os, None));
        check(
            &[(60, b"U-Boot.armv8"), (93, &[0, 0x16])],
            mac,
            (Rom, of(Arch::Other(0x16), false)),
        );
    }

    #[test]
    fn a_raspberry_pi_is_known_by_its_address() {
        use ClientStage::Rom;
        let class: &[u8] = b"PXEClient:Arch:00000:UNDI:002001";
        let of = |arch| Some(Firmware { arch, http: false });
        let pi = "dc:a6:32:00:00:01";
        check(
            &[(60, class), (93, &[0, 0])],
            pi,
            (Rom, of(Arch::RaspberryPi)),
        );
        // the same board under UEFI firmware is a 64-bit ARM machine
        check(
            &[(60, class), (93, &[0, 0x0b])],
            pi,
            (Rom, of(Arch::Arm64Uefi)),
        );
    }
}
