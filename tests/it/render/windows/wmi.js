function GetObject(name) {
    if (name === "winmgmts:\\\\.\\root\\cimv2") {
        return {ExecQuery: asked};
    }
    if (STORAGE && name === "winmgmts:\\\\.\\root\\Microsoft\\Windows\\Storage") {
        return {ExecQuery: managing};
    }
    throw new Error(name);
}

function drive(number, size, serial, model, bus, medium) {
    return {DeviceID: "\\\\.\\PHYSICALDRIVE" + number, Index: number, Size: size, SerialNumber: serial, Model: model, InterfaceType: bus, MediaType: medium};
}

var FIXED = "Fixed hard disk media";

function asked(query) {
    if (query === "SELECT * FROM Win32_DiskDrive") {
        return [
            drive(0, "8000000000", null, "A stick", "USB", "Removable Media"),
            drive(1, "64000000000", "  S 1%", "QEMU HARDDISK", "SCSI", FIXED),
            drive(2, "1000", "S2", undefined, null, null),
            drive(3, null, null, "A reader", "USB", "Removable Media"),
            drive(4, "64000000000", "S4", "A LUN", "SCSI", FIXED),
            drive(5, "64000000000", "ACE4_2E61_9000_7804.", "An NVMe", "SCSI", FIXED)
        ];
    }
    return answer(query);
}

function managing(query) {
    if (query === "SELECT * FROM MSFT_Disk") {
        return [
            {Number: 1, BusType: 11, UniqueId: "5000C500A1B2C3D4", UniqueIdFormat: 3},
            {Number: 4, BusType: 6, UniqueId: "60060160A1B2C3D460060160A1B2C3D4", UniqueIdFormat: 3},
            {Number: 5, BusType: 17, UniqueId: "eui.ACE42E6190007804", UniqueIdFormat: 8},
            {Number: 2, BusType: 0, UniqueId: "S2 of somebody", UniqueIdFormat: 0}
        ];
    }
    if (query === "SELECT * FROM MSFT_PhysicalDisk") {
        // of an older Windows, without the property
        return [{DeviceId: "1"}, {DeviceId: "5", AdapterSerialNumber: "S5 "}];
    }
    throw new Error(query);
}

function answer(query) {
    var found = ANSWERS[query];
    if (found === undefined) {
        throw new Error(query);
    }
    return found;
}

function parts(disk) {
    return "ASSOCIATORS OF {Win32_DiskDrive.DeviceID='\\\\\\\\.\\\\PHYSICALDRIVE" + disk + "'} WHERE AssocClass=Win32_DiskDriveToDiskPartition";
}

function volumes(part) {
    return "ASSOCIATORS OF {Win32_DiskPartition.DeviceID='" + part + "'} WHERE AssocClass=Win32_LogicalDiskToPartition";
}

var ANSWERS = {};
ANSWERS[parts(0)] = [];
ANSWERS[parts(1)] = [{DeviceID: "p0", Type: "GPT: System"}, {DeviceID: "p1", Type: "GPT: Basic Data"}, {DeviceID: "p2", Type: "GPT: Unknown"}];
ANSWERS[parts(2)] = [{DeviceID: "p3", Type: "Installable File System"}];
// a disk of LVM or ZFS as a whole, and a new one, look like this
ANSWERS[parts(4)] = [];
ANSWERS[parts(5)] = [{DeviceID: "p0", Type: "GPT: System"}, {DeviceID: "p4", Type: "GPT: Microsoft Reserved"}, {DeviceID: "p1", Type: "GPT: Basic Data"}];
ANSWERS[volumes("p0")] = [];
ANSWERS[volumes("p1")] = [{FileSystem: "NTFS"}];
ANSWERS[volumes("p2")] = [];
ANSWERS[volumes("p3")] = [];
ANSWERS[volumes("p4")] = [];

function Enumerator(list) {
    var at = 0;
    this.atEnd = function () { return at >= list.length; };
    this.moveNext = function () { at++; };
    this.item = function () { return list[at]; };
}
