# NixOS's netboot image, as a machine is installed by it: no password, no login, no ssh, and a service that
# fetches what is to be done from the address on the kernel's command line and runs it. Without one, or if
# nothing can be fetched, nothing is written. How it is built is in boot/nixos.toml.
{ config, lib, modulesPath, pkgs, ... }:
let
  distro = pkgs.writeText "nixos.toml" ''
    # NixOS ${config.system.nixos.label}, written with its netboot image.
    kernel  = "bzImage"
    initrds = ["initrd"]

    [artefact.bzImage]
    file = "boot/files/nixos/bzImage"

    [artefact.initrd]
    file = "boot/files/nixos/initrd"

    [vars]
    init          = "${config.system.build.toplevel}/init"
    kernel_params = ${builtins.toJSON config.boot.kernelParams}
  '';
in
{
  imports = [ (modulesPath + "/installer/netboot/netboot-minimal.nix") ];

  system.build.farrier = pkgs.linkFarm "farrier-nixos" [
    {
      name = "bzImage";
      path = "${config.system.build.kernel}/${config.system.boot.loader.kernelFile}";
    }
    {
      name = "initrd";
      path = "${config.system.build.netbootRamdisk}/initrd";
    }
    {
      name = "nixos.toml";
      path = distro;
    }
  ];

  services.getty.autologinUser = lib.mkForce null;
  services.openssh.enable = lib.mkForce false;
  users.users.root.initialHashedPassword = lib.mkForce "!";
  users.users.nixos.initialHashedPassword = lib.mkForce "!";

  environment.systemPackages = with pkgs; [
    btrfs-progs
    curl
    dosfstools
    e2fsprogs
    efibootmgr
    lvm2
    util-linux
    xfsprogs
  ];

  systemd.services.farrier-install = {
    description = "Farrier installs this machine";
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ];
    path = [ "/run/wrappers" "/run/current-system/sw" ];
    serviceConfig = {
      Type = "oneshot";
      TimeoutStartSec = "infinity";
      StandardOutput = "journal+console";
      StandardError = "journal+console";
    };
    script = ''
      set +e
      base=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^farrier\.url=//p' | tail -n 1)
      if [ -z "$base" ]; then
          echo "Farrier: no farrier.url= on the kernel's command line; nothing is done"
          exit 0
      fi
      mkdir -p /tmp/farrier
      cd /tmp/farrier || exit 1
      for file in farrier.env report.sh install.sh; do
          tries=0
          until curl --silent --fail --connect-timeout 10 --max-time 60 --output "$file" "$base/$file"; do
              tries=$((tries + 1))
              if [ "$tries" -ge 30 ]; then
                  echo "Farrier: $file could not be fetched"
                  sleep 30
                  reboot -f
                  exit 1
              fi
              sleep 5
          done
      done
      exec sh ./install.sh
    '';
  };
}
