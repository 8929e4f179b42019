//! Machines of the rack: metal that is racked, cabled and switched off.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::wait::{Patience, until};
use super::{Firmware, Power, Process, RackError, Serial};
use crate::model::MacAddr;

/// One machine. What it is can be chosen until it is first switched on.
///
/// ```no_run
/// # use farrier::cli::demo::rack::{Firmware, Rack, RackError};
/// # fn main() -> Result<(), RackError> {
/// let rack = Rack::new()?;
/// let machine = rack.machine("web01").firmware(Firmware::UefiPxe).disk(8, "S1");
/// let power = machine.power_on()?;
/// # drop(power); Ok(()) }
/// ```
#[derive(Debug)]
pub struct Machine {
    name: String,
    dir: PathBuf,
    namespace: String,
    bridge: String,
    tap: String,
    mac: MacAddr,
    memory: u32,
    firmware: Firmware,
    disks: Vec<Disk>,
    card: String,
    tpm: bool,
    boots: Cell<u32>,
}

#[derive(Debug)]
struct Disk {
    gib: u64,
    serial: String,
}

impl Machine {
    pub(super) fn new(name: &str, dir: &Path, namespace: &str, bridge: &str, port: u32) -> Machine {
        Machine {
            name: name.to_string(),
            dir: dir.join(name),
            namespace: namespace.to_string(),
            bridge: bridge.to_string(),
            tap: format!("tap{port}"),
            mac: MacAddr([0x52, 0x54, 0, 0x4d, (port >> 8) as u8, port as u8]),
            memory: 2048,
            firmware: Firmware::Bios,
            disks: Vec::new(),
            card: "virtio-net-pci".to_string(),
            tpm: false,
            boots: Cell::new(0),
        }
    }

    /// Another firmware than BIOS.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Machine {
        self.firmware = firmware;
        self
    }

    /// A disk of so many GiB with this serial number. Called again, one more disk. A machine without
    /// any call has one of 4 GiB.
    #[must_use]
    pub fn disk(mut self, gib: u64, serial: &str) -> Machine {
        self.disks.push(Disk {
            gib,
            serial: serial.to_string(),
        });
        self
    }

    /// Another amount of memory than 2 GiB.
    #[must_use]
    pub fn memory(mut self, mib: u32) -> Machine {
        self.memory = mib;
        self
    }

    /// Another network card than `virtio-net-pci`, such as `e1000`.
    #[must_use]
    pub fn card(mut self, model: &str) -> Machine {
        self.card = model.to_string();
        self
    }

    /// With a TPM 2, which keeps what it holds over power cuts.
    #[must_use]
    pub fn tpm(mut self) -> Machine {
        self.tpm = true;
        self
    }

    /// Exchanges its TPM for a new one. Only while the machine is off.
    ///
    /// # Errors
    /// The old one's state cannot be removed.
    pub fn forget_tpm(&self) -> Result<(), RackError> {
        let state = self.dir.join("tpm");
        fs::remove_dir_all(&state).map_err(RackError::file(&state))
    }

    /// A hardware address of one's own choice.
    #[must_use]
    pub fn with_mac(mut self, mac: MacAddr) -> Machine {
        self.mac = mac;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its hardware address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// The image of a disk, the first being 0. Look only while the machine is off.
    pub fn disk_image(&self, number: usize) -> PathBuf {
        self.dir.join(format!("disk{number}.img"))
    }

    /// Racks it: makes its disks, plugs in its cable and, for UEFI, writes the factory's boot order.
    /// [`Machine::power_on`] does this by itself; a test that puts something on the disk before calls it.
    ///
    /// # Errors
    /// A file cannot be written, a tool is missing, or the firmware does not come up.
    pub fn rack_up(&self) -> Result<(), RackError> {
        if self.dir.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).map_err(RackError::file(&self.dir))?;
        for (number, disk) in self.all_disks().iter().enumerate() {
            let path = self.disk_image(number);
            let file = File::create(&path).map_err(RackError::file(&path))?;
            file.set_len(disk.gib << 30)
                .map_err(RackError::file(&path))?;
        }
        let ip = |arguments: &[&str]| {
            super::process::must(
                Command::new("ip")
                    .args(["-n", &self.namespace])
                    .args(arguments),
            )
        };
        ip(&["tuntap", "add", &self.tap, "mode", "tap"])?;
        ip(&["link", "set", &self.tap, "master", &self.bridge, "up"])?;
        if self.firmware.is_uefi() {
            self.factory()?;
        }
        Ok(())
    }

    /// Switches it on.
    ///
    /// # Errors
    /// It cannot be racked, or QEMU does not start.
    pub fn power_on(&self) -> Result<Power, RackError> {
        self.rack_up()?;
        self.boots.set(self.boots.get() + 1);
        let cable = format!("tap,id=n0,ifname={},script=no,downscript=no", self.tap);
        self.start(&format!("boot-{}", self.boots.get()), &cable)
    }

    /// The first start of a UEFI machine, without a cable, so that it writes down what it can boot.
    fn factory(&self) -> Result<(), RackError> {
        let variables = self.variables();
        self.firmware.blank(&variables)?;
        let mut power = self.start("factory", "hubport,id=n0,hubid=1")?;
        let serial = power.serial().clone();
        // The first attempt to boot anything comes after the options were written.
        until(
            "the firmware's first boot attempt",
            Patience::seconds(180),
            || serial.tail(),
            || {
                let text = serial.text();
                let booting = [">>Start", "BdsDxe:"].iter().any(|w| text.contains(w));
                Ok(booting.then_some(()))
            },
        )?;
        power.cut();
        self.firmware.order(&variables)
    }

    fn start(&self, run: &str, cable: &str) -> Result<Power, RackError> {
        let log = self.dir.join(format!("{run}.serial"));
        let chip = if self.tpm {
            Some(self.plug_tpm(run)?)
        } else {
            None
        };
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace, "qemu-system-x86_64"])
            .args(self.arguments(cable, &log));
        let said = self.dir.join(format!("{run}.qemu"));
        let what = format!("QEMU of `{}`", self.name);
        let process = Process::start(&what, &mut command, &said, false)?;
        Ok(Power::new(process, Serial::new(log), chip))
    }

    /// The TPM's program, which ends when QEMU lets go of its socket.
    fn plug_tpm(&self, run: &str) -> Result<Process, RackError> {
        let state = self.dir.join("tpm");
        fs::create_dir_all(&state).map_err(RackError::file(&state))?;
        let socket = self.tpm_socket();
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("swtpm");
        command
            .args(["socket", "--tpm2", "--terminate"])
            .arg(format!("--tpmstate=dir={}", state.display()))
            .arg(format!("--ctrl=type=unixio,path={}", socket.display()));
        let said = self.dir.join(format!("{run}.swtpm"));
        let process = Process::start("swtpm", &mut command, &said, false)?;
        until(
            "the socket of a TPM",
            Patience::seconds(60),
            || process.tail(),
            || Ok(socket.exists().then_some(())),
        )?;
        Ok(process)
    }

    fn tpm_socket(&self) -> PathBuf {
        self.dir.join("tpm.sock")
    }

    fn arguments(&self, cable: &str, serial: &Path) -> Vec<String> {
        // A Linux guest hangs under KVM on some hosts and not under TCG, which starts a kernel in 2 s.
        let mut words: Vec<String> = [
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            // The string instructions are slow where each byte is emulated.
            "max,-erms,-fsrm",
            "-smp",
            "2",
            "-nodefaults",
            "-vga",
            "std",
            "-display",
            "none",
            // The process ends where the machine would start again: each boot is asked for.
            "-no-reboot",
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        let mut add = |option: &str, value: String| words.extend([option.to_string(), value]);
        add("-m", self.memory.to_string());
        add("-name", self.name.clone());
        add("-serial", format!("file:{}", serial.display()));
        add("-uuid", uuid(self.mac));
        add("-netdev", cable.to_string());
        let mut card = format!("{},netdev=n0,mac={}", self.card, self.mac);
        match self.firmware {
            // SeaBIOS has no memory of its own: the order is the one of this command line.
            Firmware::Bios => card.push_str(",bootindex=1"),
            // Without a ROM, EDK2's own network stack is used, as on metal.
            _ => card.push_str(",romfile="),
        }
        add("-device", card);
        for (number, disk) in self.all_disks().iter().enumerate() {
            let path = self.disk_image(number);
            add(
                "-drive",
                format!(
                    "file={},if=none,id=d{number},format=raw,cache=unsafe,discard=unmap",
                    path.display()
                ),
            );
            let mut device = format!("virtio-blk-pci,drive=d{number},serial={}", disk.serial);
            if !self.firmware.is_uefi() {
                device.push_str(&format!(",bootindex={}", number + 2));
            }
            add("-device", device);
        }
        if self.tpm {
            let socket = self.tpm_socket();
            add(
                "-chardev",
                format!("socket,id=tpm0,path={}", socket.display()),
            );
            add("-tpmdev", "emulator,id=t0,chardev=tpm0".to_string());
            add("-device", "tpm-tis,tpmdev=t0".to_string());
        }
        words.extend(self.firmware.arguments(&self.variables()));
        words
    }

    fn all_disks(&self) -> Vec<Disk> {
        if self.disks.is_empty() {
            return vec![Disk {
                gib: 4,
                serial: format!("{}-0", self.name),
            }];
        }
        let copy = |d: &Disk| Disk {
            gib: d.gib,
            serial: d.serial.clone(),
        };
        self.disks.iter().map(copy).collect()
    }

    fn variables(&self) -> PathBuf {
        self.dir.join("variables.fd")
    }
}

/// A machine's own number, the same at each boot.
fn uuid(mac: MacAddr) -> String {
    let hex: String = mac.0.iter().map(|b| format!("{b:02x}")).collect();
    format!("fa001e00-0000-4000-8000-{hex}")
}
