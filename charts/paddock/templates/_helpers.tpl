{{- define "paddock.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "paddock.operator.name" -}}
{{ include "paddock.fullname" . }}-operator
{{- end -}}

{{- /* The selector never changes: a Deployment's selector is immutable. */ -}}
{{- define "paddock.operator.selector" -}}
app.kubernetes.io/name: paddock-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "paddock.labels" -}}
{{ include "paddock.operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: paddock
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The image of a component: dict "component" "operator" "image" .Values.operator.image "root" $ */ -}}
{{- define "paddock.image" -}}
{{- $registry := .root.Values.imageRegistry | trimSuffix "/" -}}
{{- $name := printf "paddock-%s:%s" .component .root.Chart.AppVersion -}}
{{ default (ternary (printf "%s/%s" $registry $name) $name (ne $registry "")) .image }}
{{- end -}}

{{- /* Not those of the operator: its Service must not lead to the check's pod. */ -}}
{{- define "paddock.check.labels" -}}
app.kubernetes.io/name: paddock-operator-check
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: paddock
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* A failed check stays until the next one, to be looked at. */ -}}
{{- define "paddock.check.hook" -}}
{helm.sh/hook: test, helm.sh/hook-weight: {{ . | quote }}, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
{{- end -}}

{{- define "paddock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "paddock.operator.name" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- /*
"true" unless switched off, or another release or adapter serves the API, be it in another version: whoever asks for the
group takes the version that is preferred, so a second adapter would hide the first.
*/ -}}
{{- define "paddock.metricsApi.enabled" -}}
{{- $foreign := false -}}
{{- range $version := list "v1beta1" "v1beta2" -}}
{{- $live := lookup "apiregistration.k8s.io/v1" "APIService" "" (printf "%s.custom.metrics.k8s.io" $version) -}}
{{- $service := default dict (dig "spec" "service" dict (default dict $live)) -}}
{{- $ours := printf "%s/%s-metrics-api" $.Release.Namespace (include "paddock.operator.name" $) -}}
{{- if and $live (ne $ours (printf "%s/%s" (get $service "namespace") (get $service "name"))) -}}
{{- $foreign = true -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metricsApi.enabled (not $foreign) -}}true{{- end -}}
{{- end -}}
