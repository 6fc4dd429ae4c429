/* "There is no udev": for portable builds only.
 *
 * A static libhwloc.a refers to five functions of libudev, of which Debian has no static library. hwloc asks udev for
 * one thing, the vendor and model names of block devices, and when udev_new answers NULL it reads the same facts from
 * /run/udev instead. Kiln does not look at disks, so nothing is lost. The other four are then never called. */
struct udev;
struct udev_device;
struct udev *udev_new(void);
struct udev *udev_unref(struct udev *udev);
struct udev_device *udev_device_new_from_subsystem_sysname(struct udev *udev, const char *subsystem, const char *name);
const char *udev_device_get_property_value(struct udev_device *device, const char *key);
struct udev_device *udev_device_unref(struct udev_device *device);

struct udev *udev_new(void) {
    return (struct udev *)0;
}

struct udev *udev_unref(struct udev *udev) {
    (void)udev;
    return (struct udev *)0;
}

struct udev_device *udev_device_new_from_subsystem_sysname(struct udev *udev, const char *subsystem, const char *name) {
    (void)udev, (void)subsystem, (void)name;
    return (struct udev_device *)0;
}

const char *udev_device_get_property_value(struct udev_device *device, const char *key) {
    (void)device, (void)key;
    return (const char *)0;
}

struct udev_device *udev_device_unref(struct udev_device *device) {
    (void)device;
    return (struct udev_device *)0;
}
