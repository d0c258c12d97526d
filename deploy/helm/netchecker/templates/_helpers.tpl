{{- define "netchecker.labels" -}}
app.kubernetes.io/part-of: netchecker
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "netchecker.keys" -}}
{{ .Values.keys.existingSecret | default "netchecker-keys" }}
{{- end }}

{{- define "netchecker.scheme" -}}
{{ ternary "HTTPS" "HTTP" .Values.server.webConfig.tls }}
{{- end }}

{{- define "netchecker.join" -}}
- -join=netchecker-servers:{{ .Values.agent.gossipPort }},netchecker-agents:{{ .Values.agent.gossipPort }}
{{- end }}

{{- define "netchecker.env" -}}
- {name: MY_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: MY_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: MY_POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: MY_POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
- {name: MY_HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
{{- end }}

{{- define "netchecker.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "netchecker.gossipPorts" -}}
- {name: gossip, containerPort: {{ .Values.agent.gossipPort }}, protocol: TCP}
{{- end }}

{{- define "netchecker.headless" -}}
clusterIP: None
publishNotReadyAddresses: true
ports:
  - {name: gossip, protocol: TCP, port: {{ .Values.agent.gossipPort }}, targetPort: gossip}
{{- end }}
