#!/usr/bin/env bash
# Deploys netchecker's server and agents on the cluster that kubectl talks to. It wants bash and
# kubectl, may be run again at any time, and keeps what it finds.
#
#   deploy.sh [NAMESPACE]
#
# env: NS - a namespace name (also as $1)                                          [netchecker]
# env: KUBE_DIR - the folder that the manifests are written to                     [.]
# env: KUBE_USER - a user to own the manifests and their folder
# env: NODE_PORT - a node port for the server to listen on                         [31081]
# env: PURGE - if true, will only erase applications                               [false]
# env: AGENT_REPORT_INTERVAL - seconds between two reports of an agent             [60]
# env: SERVER_IMAGE_NAME, AGENT_IMAGE_NAME - images        [netchecker-server, netchecker-agent]
# env: IMAGE_TAG - the tag of both images                                          [v2.0.0]
# env: SERVER_IMAGE_TAG, AGENT_IMAGE_TAG - or one for each                         [IMAGE_TAG]
# env: SERVER_PORT - the port of the server in its pod and of its Service          [8081]
# env: USE_ETCD_ENDPOINT - if true, keep the reports in etcd
# env: ETCD_ENDPOINT - its URLs, separated by commas                     [https://localhost:2379]
# env: ETCD_SECRET - a Secret in NS with ca.crt, tls.crt and tls.key for etcd
# env: DATA_VOLUME - pvc:NAME or hostpath:/FOLDER: keep reports and history there
# env: SERVER_NODE - the node that the server runs on, for a hostpath
# env: SERVER_REPLICAS - number of servers                                         [1]
# env: PROBE_PORT, GOSSIP_PORT - ports of the agents, also on the nodes            [8095, 8096]
# env: AUTH - kubernetes or none: how agents prove who they are              [kubernetes]
# env: EVIDENCE - privileged lets the agents of the host network read the packet filter: as root
#      with NET_ADMIN and nothing else                                             [basic]
# env: ALLOW_OLD_AGENTS - if true, take the reports of old agents, which are not signed [false]
# env: WEB_CONFIG_SECRET - a Secret in NS with web.yml, the file for -web-config, and the files that
#      it names: HTTPS or passwords for those who ask the server
# env: WEB_CONFIG_TLS - true if web.yml has a tls_server_config; agents then believe ca.crt of that
#      Secret, and the certificate must name netchecker-service                     [false]
# env: SERVER_ARGS, AGENT_ARGS - further flags of the programs, separated by spaces
# env: MON_NS - the namespace of the Prometheus operator's objects                 [monitoring]
# env: MON_LABELS - labels that it selects them by, NAME=VALUE, separated by commas
# env: MON_ACCOUNT - the service account of Prometheus in MON_NS                   [prometheus-k8s]
# env: MON_CA_SECRET - a Secret in MON_NS with ca.crt, by which Prometheus believes the server's HTTPS
# env: MON_AUTH_SECRET - a Secret in MON_NS with username and password of a user in web.yml
set -euo pipefail

fail() {
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}

case ${1:-} in -h | --help)
    sed -n '1d; s/^# \{0,1\}//p; /^set /q' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
(($# <= 1)) || fail "$# arguments: want one at most, the namespace"

NS=${1:-${NS:-netchecker}}
KUBE_DIR=${KUBE_DIR:-.}
KUBE_USER=${KUBE_USER:-}
NODE_PORT=${NODE_PORT:-31081}
PURGE=${PURGE:-false}
AGENT_REPORT_INTERVAL=${AGENT_REPORT_INTERVAL:-60}
SERVER_IMAGE_NAME=${SERVER_IMAGE_NAME:-netchecker-server}
AGENT_IMAGE_NAME=${AGENT_IMAGE_NAME:-netchecker-agent}
IMAGE_TAG=${IMAGE_TAG:-v2.0.0}
SERVER_IMAGE_TAG=${SERVER_IMAGE_TAG:-$IMAGE_TAG}
AGENT_IMAGE_TAG=${AGENT_IMAGE_TAG:-$IMAGE_TAG}
SERVER_PORT=${SERVER_PORT:-8081}
USE_ETCD_ENDPOINT=${USE_ETCD_ENDPOINT:-}
ETCD_ENDPOINT=${ETCD_ENDPOINT:-https://localhost:2379}
ETCD_SECRET=${ETCD_SECRET:-}
DATA_VOLUME=${DATA_VOLUME:-}
SERVER_NODE=${SERVER_NODE:-}
SERVER_REPLICAS=${SERVER_REPLICAS:-1}
PROBE_PORT=${PROBE_PORT:-8095}
GOSSIP_PORT=${GOSSIP_PORT:-8096}
AUTH=${AUTH:-kubernetes}
EVIDENCE=${EVIDENCE:-basic}
ALLOW_OLD_AGENTS=${ALLOW_OLD_AGENTS:-false}
WEB_CONFIG_SECRET=${WEB_CONFIG_SECRET:-}
WEB_CONFIG_TLS=${WEB_CONFIG_TLS:-false}
SERVER_ARGS=${SERVER_ARGS:-}
AGENT_ARGS=${AGENT_ARGS:-}
MON_NS=${MON_NS:-monitoring}
MON_LABELS=${MON_LABELS:-}
MON_ACCOUNT=${MON_ACCOUNT:-prometheus-k8s}
MON_CA_SECRET=${MON_CA_SECRET:-}
MON_AUTH_SECRET=${MON_AUTH_SECRET:-}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# matches NAME PATTERN WANT: the variable's value matches the whole of the pattern.
matches() {
    [[ ${!1} =~ ^($2)$ ]] || fail "$1=${!1}: want $3"
}

# number NAME LOW HIGH
number() {
    if [[ ! ${!1} =~ ^[1-9][0-9]{0,5}$ ]] || ((${!1} < $2 || ${!1} > $3)); then
        fail "$1=${!1}: want a number from $2 to $3"
    fi
}

check() {
    local label='[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?' name
    matches NS "$label" "the name of a namespace: small letters, digits and dashes, at most 63"
    matches MON_NS "$label" "the name of a namespace"
    matches MON_ACCOUNT '[a-z0-9]([-.a-z0-9]*[a-z0-9])?' "the name of a service account"
    matches MON_LABELS '([-._/A-Za-z0-9]+=[-._A-Za-z0-9]+(,[-._/A-Za-z0-9]+=[-._A-Za-z0-9]+)*)?' "NAME=VALUE, separated by commas"
    for name in SERVER_IMAGE_NAME AGENT_IMAGE_NAME; do
        matches $name '[a-z0-9]([-._:/a-z0-9]*[a-z0-9])?' "the name of an image without its tag, such as registry.example.org:5000/netchecker-server"
    done
    for name in IMAGE_TAG SERVER_IMAGE_TAG AGENT_IMAGE_TAG; do
        matches $name '[A-Za-z0-9_][-._A-Za-z0-9]{0,127}' "a tag such as v2.0.0"
    done
    for name in PURGE ALLOW_OLD_AGENTS WEB_CONFIG_TLS; do
        matches $name 'true|false' "true or false"
    done
    matches USE_ETCD_ENDPOINT '|true|false' "true or false"
    matches AUTH 'kubernetes|none' "kubernetes or none"
    matches EVIDENCE 'basic|privileged' "basic or privileged"
    number NODE_PORT 1 65535
    # The programs do not run as root, which could have the lower ones.
    for name in SERVER_PORT PROBE_PORT GOSSIP_PORT; do
        number $name 1024 65535
    done
    [[ $PROBE_PORT != "$GOSSIP_PORT" ]] || fail "GOSSIP_PORT=$GOSSIP_PORT: PROBE_PORT has that"
    [[ $SERVER_PORT != "$GOSSIP_PORT" ]] || fail "GOSSIP_PORT=$GOSSIP_PORT: SERVER_PORT has that"
    number AGENT_REPORT_INTERVAL 1 86400
    number SERVER_REPLICAS 1 9
    matches DATA_VOLUME '|pvc:[a-z0-9]([-.a-z0-9]*[a-z0-9])?|hostpath:/[-._/A-Za-z0-9]+' "pvc:NAME or hostpath:/FOLDER"
    matches SERVER_NODE '|[a-z0-9]([-.a-z0-9]*[a-z0-9])?' "the name of a node"
    for name in ETCD_SECRET WEB_CONFIG_SECRET MON_CA_SECRET MON_AUTH_SECRET; do
        matches $name '|[a-z0-9]([-.a-z0-9]*[a-z0-9])?' "the name of a Secret"
    done
    [[ $WEB_CONFIG_TLS == false || -n $WEB_CONFIG_SECRET ]] || fail "WEB_CONFIG_TLS=true: want WEB_CONFIG_SECRET too, the Secret that has web.yml"
    [[ -z $MON_CA_SECRET || $WEB_CONFIG_TLS == true ]] || fail "MON_CA_SECRET=$MON_CA_SECRET: want WEB_CONFIG_TLS=true too, without which there is no HTTPS"
    [[ -z $MON_AUTH_SECRET || -n $WEB_CONFIG_SECRET ]] || fail "MON_AUTH_SECRET=$MON_AUTH_SECRET: want WEB_CONFIG_SECRET too, without which nobody is asked for a password"
    [[ $DATA_VOLUME != hostpath:* || -n $SERVER_NODE ]] || fail "DATA_VOLUME=$DATA_VOLUME: want SERVER_NODE too, the node that has the folder"
    [[ -z $DATA_VOLUME || $SERVER_REPLICAS == 1 ]] || fail "SERVER_REPLICAS=$SERVER_REPLICAS: only one server can have DATA_VOLUME open"
    [[ -f $HERE/base/kustomization.yaml ]] || fail "$HERE/base: not there; the script reads the manifests beside it, so run it from the project's folder"
    command -v kubectl >/dev/null || fail "kubectl: not found in PATH"
}

# etcd_urls sets ETCD_ENDPOINT to what the server's pod can reach: the members' own URLs in place
# of localhost, which is another place there.
etcd_urls() {
    [[ $USE_ETCD_ENDPOINT == true ]] || return 0
    if [[ $ETCD_ENDPOINT =~ //(localhost|127\.|\[::1\]) ]]; then
        command -v etcdctl >/dev/null ||
            fail "ETCD_ENDPOINT=$ETCD_ENDPOINT: the server's pod cannot reach that, and without etcdctl nobody knows the members' addresses; want https://ADDRESS:2379"
        local members
        members=$(ETCDCTL_API=3 etcdctl --endpoints="$ETCD_ENDPOINT" member list) || fail "etcdctl --endpoints=$ETCD_ENDPOINT member list: failed"
        ETCD_ENDPOINT=$(awk -F', ' '{print $5}' <<<"$members" | paste -sd, -)
    fi
    matches ETCD_ENDPOINT 'https?://[]A-Za-z0-9.:[-]+(,https?://[]A-Za-z0-9.:[-]+)*' "URLs such as https://192.0.2.1:2379, separated by commas"
    echo "[etcd_endpoint] information of etcd: $ETCD_ENDPOINT"
}

# add NAME LINE: appends a line to a variable.
add() {
    printf -v "$1" '%s' "${!1:+${!1}
}$2"
}

# flags NAME: turns words into a list in YAML, one flag a line.
flags() {
    local words word list=
    read -ra words <<<"${!1}"
    for word in ${words[@]+"${words[@]}"}; do
        [[ $word == -* ]] || fail "$1: $word: want flags such as -probe-rate=100"
        add list "- '${word//\'/\'\'}'"
    done
    printf -v "$1" '%s' "$list"
}

# values computes what the manifests take besides the variables of the environment.
# shellcheck disable=SC2034 # they are used by their names, in fill
values() {
    STORE_ARGS='' SERVER_MOUNTS='' SERVER_VOLUMES='' SERVER_NODE_SELECTOR='' MONITOR_LABELS=''
    STRATEGY='strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}'
    MASTER_ARGS=''
    [[ $AUTH != kubernetes ]] || MASTER_ARGS='- -secret-file=/etc/netchecker/master/master-key'
    HOSTNET_ARGS='' HOSTNET_NON_ROOT=true HOSTNET_USER=65532 HOSTNET_CAPABILITIES='{drop: [ALL]}'
    if [[ $EVIDENCE == privileged ]]; then
        HOSTNET_ARGS='- -evidence=privileged' HOSTNET_NON_ROOT=false HOSTNET_USER=0
        HOSTNET_CAPABILITIES='{drop: [ALL], add: [NET_ADMIN]}'
    fi
    [[ $ALLOW_OLD_AGENTS != true ]] || SERVER_ARGS="-allow-unauthenticated-reports $SERVER_ARGS"
    flags SERVER_ARGS
    flags AGENT_ARGS
    if [[ $USE_ETCD_ENDPOINT == true ]]; then
        add STORE_ARGS "- -etcd-endpoints=$ETCD_ENDPOINT"
    elif [[ -z $DATA_VOLUME ]]; then
        add STORE_ARGS '- -kubeproxyinit'
    fi
    if [[ $USE_ETCD_ENDPOINT == true && -n $ETCD_SECRET ]]; then
        add STORE_ARGS '- -etcd-ca=/etc/netchecker/etcd/ca.crt'
        add STORE_ARGS '- -etcd-cert=/etc/netchecker/etcd/tls.crt'
        add STORE_ARGS '- -etcd-key=/etc/netchecker/etcd/tls.key'
        add SERVER_MOUNTS '- {name: etcd, mountPath: /etc/netchecker/etcd, readOnly: true}'
        add SERVER_VOLUMES "- {name: etcd, secret: {secretName: $ETCD_SECRET, defaultMode: 0440}}"
    fi
    if [[ -n $DATA_VOLUME ]]; then
        STRATEGY='strategy: {type: Recreate}'
        add STORE_ARGS '- -data-dir=/var/lib/netchecker'
        add SERVER_MOUNTS '- {name: data, mountPath: /var/lib/netchecker}'
        case $DATA_VOLUME in
            pvc:*) add SERVER_VOLUMES "- {name: data, persistentVolumeClaim: {claimName: ${DATA_VOLUME#*:}}}" ;;
            *) add SERVER_VOLUMES "- {name: data, hostPath: {path: ${DATA_VOLUME#*:}, type: Directory}}" ;;
        esac
    fi
    web_values
    [[ -z $SERVER_NODE ]] || SERVER_NODE_SELECTOR="kubernetes.io/hostname: $SERVER_NODE"
    local labels label
    IFS=, read -ra labels <<<"$MON_LABELS"
    for label in ${labels[@]+"${labels[@]}"}; do
        add MONITOR_LABELS "${label%%=*}: \"${label#*=}\""
    done
}

# web_values is the part of values that follows from a web configuration.
# shellcheck disable=SC2034 # they are used by their names, in fill
web_values() {
    WEB_ARGS='' WEB_SCHEME=HTTP SCRAPE_SCHEME='' MONITOR_WEB='' AGENT_WEB_ARGS='' AGENT_MOUNTS='' AGENT_VOLUMES=''
    [[ -n $WEB_CONFIG_SECRET ]] || return 0
    WEB_ARGS='- -web-config=/etc/netchecker/web/web.yml'
    add SERVER_MOUNTS '- {name: web, mountPath: /etc/netchecker/web, readOnly: true}'
    add SERVER_VOLUMES "- {name: web, secret: {secretName: $WEB_CONFIG_SECRET, defaultMode: 0440}}"
    if [[ $WEB_CONFIG_TLS == true ]]; then
        WEB_SCHEME=HTTPS SCRAPE_SCHEME='prometheus.io/scheme: https'
        AGENT_WEB_ARGS='- -server-ca=/etc/netchecker/web/ca.crt'
        AGENT_MOUNTS='- {name: server-ca, mountPath: /etc/netchecker/web, readOnly: true}'
        AGENT_VOLUMES="- {name: server-ca, secret: {secretName: $WEB_CONFIG_SECRET, items: [{key: ca.crt, path: ca.crt}], defaultMode: 0440}}"
        local ca=
        [[ -z $MON_CA_SECRET ]] || ca=", ca: {secret: {name: $MON_CA_SECRET, key: ca.crt}}"
        add MONITOR_WEB 'scheme: https'
        add MONITOR_WEB "tlsConfig: {serverName: netchecker-service$ca}"
    fi
    [[ -z $MON_AUTH_SECRET ]] ||
        add MONITOR_WEB "basicAuth: {username: {name: $MON_AUTH_SECRET, key: username}, password: {name: $MON_AUTH_SECRET, key: password}}"
}

# fill TEXT: sets REPLY to the text with each ${NAME} replaced by the variable's value.
# shellcheck disable=SC2016 # that is the text, not a variable of ours
fill() {
    local rest=$1 name
    REPLY=
    while [[ $rest == *'${'*'}'* ]]; do
        REPLY+=${rest%%\$\{*}
        rest=${rest#*\$\{}
        name=${rest%%\}*}
        REPLY+=${!name}
        rest=${rest#*\}}
    done
    REPLY+=$rest
}

# render FILE...: the manifests with each line that carries a marker replaced; see base/kustomization.yaml.
render() {
    local file line part mark=' # deploy.sh: '
    for file; do
        [[ $file == "$1" ]] || echo ---
        while IFS= read -r line || [[ -n $line ]]; do
            if [[ $line != *"${mark# }"* ]]; then
                printf '%s\n' "$line"
                continue
            fi
            fill "${line#*"${mark# }"}"
            [[ -n $REPLY ]] || continue
            while IFS= read -r part; do
                printf '%s%s\n' "${line%%[! ]*}" "$part"
            done <<<"$REPLY"
        done <"$file"
    done
}

# The files in the order in which they are applied, by the original's names where it had them.
FILES=(crd rbac priority networkpolicy server-dep server-svc mesh-svc agent-ds agent-hostnet-ds)

write() {
    if ! mkdir -p "$KUBE_DIR" || [[ ! -w $KUBE_DIR ]]; then
        fail "KUBE_DIR=$KUBE_DIR: cannot write there"
    fi
    local base=$HERE/base files=(mon.yml netchecker-ns.yml) name
    render "$base/namespace.yaml" >"$KUBE_DIR/netchecker-ns.yml"
    render "$base/crd.yaml" >"$KUBE_DIR/netchecker-crd.yml"
    render "$base/rbac.yaml" >"$KUBE_DIR/netchecker-rbac.yml"
    render "$base/priority.yaml" >"$KUBE_DIR/netchecker-priority.yml"
    render "$base/networkpolicy.yaml" >"$KUBE_DIR/netchecker-networkpolicy.yml"
    render "$base/server.yaml" >"$KUBE_DIR/netchecker-server-dep.yml"
    render "$base/service.yaml" >"$KUBE_DIR/netchecker-server-svc.yml"
    render "$base/mesh-service.yaml" >"$KUBE_DIR/netchecker-mesh-svc.yml"
    render "$base/agent.yaml" >"$KUBE_DIR/netchecker-agent-ds.yml"
    render "$base/agent-hostnet.yaml" >"$KUBE_DIR/netchecker-agent-hostnet-ds.yml"
    render "$HERE"/monitoring/{access,servicemonitor,podmonitor,prometheusrule,dashboards}.yaml >"$KUBE_DIR/mon.yml"
    [[ -n $KUBE_USER ]] || return 0
    for name in "${FILES[@]}"; do files+=("netchecker-$name.yml"); done
    [[ $KUBE_DIR == . ]] || files+=(.)
    (cd "$KUBE_DIR" && chown "$KUBE_USER" "${files[@]}") || fail "KUBE_USER=$KUBE_USER: cannot give it $KUBE_DIR"
}

# look_at_namespace sets OURS to true when the namespace may be made, changed and removed here.
look_at_namespace() {
    local found level
    found=$(kubectl get namespace "$NS" --ignore-not-found \
        -o 'jsonpath={.metadata.name}/{.metadata.labels.app\.kubernetes\.io/part-of}/{.metadata.labels.pod-security\.kubernetes\.io/enforce}')
    OURS=false
    [[ $NS != netchecker && -n $found && $found != "$NS/netchecker/"* ]] || OURS=true
    level=${found##*/}
    [[ $OURS == true || $PURGE == true || $level != restricted && $level != baseline ]] ||
        fail "namespace $NS enforces PodSecurity $level, which forbids agents in the host network; label it pod-security.kubernetes.io/enforce=privileged or take another one"
}

# look_for_operator sets OPERATOR to true when there is a Prometheus operator with its namespace.
look_for_operator() {
    local kind found
    OPERATOR=false
    for kind in servicemonitors podmonitors prometheusrules; do
        found=$(kubectl get crd "$kind.monitoring.coreos.com" --ignore-not-found -o name)
        [[ -n $found ]] || return 0
    done
    found=$(kubectl get namespace "$MON_NS" --ignore-not-found -o name)
    [[ -z $found ]] || OPERATOR=true
}

# look_for_old_binding sets OLD_BINDING to true when the original's is there: cluster-admin for every
# pod of the namespace that has no service account of its own.
look_for_old_binding() {
    local found
    OLD_BINDING=false
    found=$(kubectl get clusterrolebinding rds-admin-binding --ignore-not-found -o 'jsonpath={.roleRef.name} {.subjects[*].name}')
    [[ $found != "cluster-admin system:serviceaccount:$NS:default" ]] || OLD_BINDING=true
}

# secret_key SECRET KEY: prints what a Secret in NS has under the key.
secret_key() {
    kubectl -n "$NS" get secret "$1" -o "jsonpath={.data.${2//./\\.}}" | base64 -d
}

# look_at_web_config compares the Secret with what it is said to be: kubelets that ask by the wrong
# scheme would restart the server for ever.
look_at_web_config() {
    [[ -n $WEB_CONFIG_SECRET && $PURGE != true ]] || return 0
    local found text has=false which=no
    found=$(kubectl -n "$NS" get secret "$WEB_CONFIG_SECRET" --ignore-not-found -o name)
    if [[ -z $found ]]; then
        echo "no Secret $NS/$WEB_CONFIG_SECRET yet: the pods wait for it"
        return
    fi
    text=$(secret_key "$WEB_CONFIG_SECRET" web.yml)
    [[ -n $text ]] || fail "Secret $NS/$WEB_CONFIG_SECRET has no web.yml"
    ! grep -q '^[^#]*tls_server_config' <<<"$text" || has=true which=a
    [[ $WEB_CONFIG_TLS == "$has" ]] || fail "WEB_CONFIG_TLS=$WEB_CONFIG_TLS: web.yml in the Secret $NS/$WEB_CONFIG_SECRET has $which tls_server_config"
    [[ $has == false || -n $(secret_key "$WEB_CONFIG_SECRET" ca.crt) ]] ||
        fail "Secret $NS/$WEB_CONFIG_SECRET has no ca.crt, by which agents believe the server's certificate"
}

random_key() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }

# keys makes the Secret that all agents and servers share, once: with another one every agent would
# be a stranger to those that have not restarted yet.
keys() {
    local found key
    found=$(kubectl -n "$NS" get secret netchecker-keys --ignore-not-found -o name)
    if [[ -n $found ]]; then
        for key in gossip-key master-key; do
            found=$(kubectl -n "$NS" get secret netchecker-keys -o "jsonpath={.data.$key}")
            [[ -n $found ]] || fail "Secret $NS/netchecker-keys has no $key: add it, or delete the Secret to have a new one made"
        done
        echo "Secret netchecker-keys is kept"
        return
    fi
    kubectl create -f - <<END
apiVersion: v1
kind: Secret
metadata:
  name: netchecker-keys
  namespace: $NS
  labels: {app.kubernetes.io/part-of: netchecker}
stringData:
  gossip-key: $(random_key)
  master-key: $(random_key)
END
}

deploy() {
    echo "Deploying netchecker server and agents"
    if [[ $OURS == true ]]; then
        kubectl apply -f "$KUBE_DIR/netchecker-ns.yml"
    else
        echo "namespace $NS was there before and is left as it is"
    fi
    keys
    local name
    for name in "${FILES[@]}"; do
        kubectl apply -f "$KUBE_DIR/netchecker-$name.yml"
    done
    if [[ $OPERATOR == true ]]; then
        kubectl apply -f "$KUBE_DIR/mon.yml"
    else
        echo "no Prometheus operator, or no namespace $MON_NS: $KUBE_DIR/mon.yml is written but not applied; for a Prometheus without operator see deploy/monitoring"
    fi
    if [[ $OLD_BINDING == true ]]; then
        echo "the old netchecker's ClusterRoleBinding is still there and not needed any more: kubectl delete clusterrolebinding rds-admin-binding"
    fi
}

purge() {
    echo "Erasing netchecker server and agents"
    local i
    if [[ $OPERATOR == true ]]; then
        kubectl delete --ignore-not-found -f "$KUBE_DIR/mon.yml"
    fi
    for ((i = ${#FILES[@]} - 1; i >= 0; i--)); do
        kubectl delete --ignore-not-found --cascade=foreground -f "$KUBE_DIR/netchecker-${FILES[i]}.yml"
    done
    kubectl -n "$NS" delete --ignore-not-found secret netchecker-keys
    if [[ $OLD_BINDING == true ]]; then
        kubectl delete clusterrolebinding rds-admin-binding
    fi
    if [[ $OURS == true ]]; then
        kubectl delete --ignore-not-found -f "$KUBE_DIR/netchecker-ns.yml"
    else
        echo "namespace $NS was there before and stays"
    fi
}

hints() {
    local at=http://127.0.0.1:$NODE_PORT
    if [[ -n $WEB_CONFIG_SECRET ]]; then
        echo "With the passwords of web.yml curl wants --user NAME, with HTTPS --cacert FILE --connect-to netchecker-service:$NODE_PORT:127.0.0.1:$NODE_PORT"
    fi
    [[ $WEB_CONFIG_TLS != true ]] || at=https://netchecker-service:$NODE_PORT
    echo "Use the following commands to "
    echo "- get latest agents reports:"
    echo "  curl '$at/api/v1/agents/' | python -mjson.tool"
    echo "- check connectivity with agents:"
    echo "  curl '$at/api/v1/connectivity_check'"
    echo "- get agents metrics:"
    echo "  curl '$at/metrics'"
    echo "- see which paths fail:"
    echo "  curl '$at/api/v1/matrix?format=text'"
}

main() {
    check
    etcd_urls
    values
    # check there are nodes in the cluster
    kubectl get nodes || fail "kubectl get nodes: failed, so nothing was changed"
    look_at_namespace
    look_for_operator
    look_for_old_binding
    look_at_web_config
    write
    if [[ $PURGE == true ]]; then
        purge
        echo "DONE"
        return
    fi
    deploy
    echo "DONE"
    hints
}

main
