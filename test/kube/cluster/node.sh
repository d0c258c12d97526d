#!/usr/bin/env bash
# node.sh DIR I N DEBIAN PAUSE - first process of node I of N, in its own net, mount, pid, uts
# and ipc namespaces. It makes of them what a machine would be, writes the configuration of the
# daemons that are started afterwards, and becomes PAUSE. eth0 comes from outside.
set -euo pipefail
dir=$1 i=$2 n=$3 debian=$4 pause=$5
node=$dir/node$i
cgroup=/$(basename "$dir")/node$i
address() { echo "10.200.0.$((10 + $1))"; }
mac() { printf '02:00:00:00:00:%02x' "$1"; }

hostname "node$i"
mount --make-rprivate /
mkdir -p "$node"/{kubelet,containerd,log,etc}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/cni/net.d /run/lock
mkdir -p /var/lib/kubelet
mount --bind "$node/kubelet" /var/lib/kubelet
mount --bind "$node/log" /var/log

# The sysctls of the whole machine are read-only in the node; those of the network belong to its
# namespace and stay writable.
mkdir /run/sysnet
mount --bind /proc/sys/net /run/sysnet
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --move /run/sysnet /proc/sys/net
# What the kubelet insists on is shown to it as already so: it would set kernel.panic and the like.
mkdir /run/sysctl
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/sysctl/${setting//\//-}
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done
mount --make-rshared /

for _ in $(seq 600); do
    ip link show eth0 >/dev/null 2>&1 && break # not in /sys, which shows the devices of the machine
    sleep 0.1
done
ip link set lo up
ip addr add "$(address "$i")/24" dev eth0
ip link set eth0 up
ip route add default via 10.200.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward
# Or a service would not answer a pod on the node of its endpoint: replies cross the bridge without NAT.
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

# The overlay is flannel's: a static entry for each other node.
ip link add vxlan1 address "$(mac "$i")" type vxlan id 1 dstport 8472 local "$(address "$i")" dev eth0 nolearning
ip addr add "10.244.$i.0/32" dev vxlan1
ip link set vxlan1 up
for j in $(seq "$n"); do
    ((j != i)) || continue
    ip route add "10.244.$j.0/24" via "10.244.$j.0" dev vxlan1 onlink
    ip neigh replace "10.244.$j.0" lladdr "$(mac "$j")" dev vxlan1 nud permanent
    bridge fdb append "$(mac "$j")" dev vxlan1 dst "$(address "$j")" self permanent
done
nft -f - <<X
table ip podmasq {
    chain post {
        type nat hook postrouting priority srcnat
        ip saddr 10.244.$i.0/24 ip daddr != 10.244.0.0/16 masquerade
    }
}
X
cat >/run/cni/net.d/10-pods.conflist <<X
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "mtu": 1450,
   "ipam": {"type": "host-local", "dataDir": "/run/cni/ipam", "ranges": [[{"subnet": "10.244.$i.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
X

cat >"$node/etc/containerd.toml" <<X
version = 2
root = "$node/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc cannot lower oom_score_adj, and no pod would start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$debian/usr/lib/cni"
    conf_dir = "/run/cni/net.d"
X

# The kubelet wants its cgroup in every hierarchy; cpuset passes nothing on by itself.
for hierarchy in /sys/fs/cgroup/*/; do
    [[ $hierarchy == */unified/ ]] || mkdir -p "$hierarchy$cgroup"
done
for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset$(dirname "$cgroup")/$file"
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset$cgroup/$file"
done

echo "nameserver 10.96.0.10" >"$node/etc/resolv.conf"
cat >"$node/etc/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(address "$i")
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/node$i.crt
tlsPrivateKeyFile: $dir/pki/node$i.key
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
cgroupDriver: cgroupfs
cgroupRoot: $cgroup
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: $node/etc/resolv.conf
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
syncFrequency: 5s
volumeStatsAggPeriod: 0s
X
cat >"$node/etc/proxy.yaml" <<X
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $dir/pki/proxy.kubeconfig}
clusterCIDR: 10.244.0.0/16
hostnameOverride: node$i
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
X
touch /run/prepared
exec "$pause"
