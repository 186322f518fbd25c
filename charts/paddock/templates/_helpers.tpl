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

{{- define "paddock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "paddock.operator.name" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- /* "true" unless switched off, or another release or adapter serves the API. */ -}}
{{- define "paddock.metricsApi.enabled" -}}
{{- $live := lookup "apiregistration.k8s.io/v1" "APIService" "" "v1beta2.custom.metrics.k8s.io" -}}
{{- $owner := dig "metadata" "annotations" "meta.helm.sh/release-name" "" (default dict $live) -}}
{{- $space := dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" (default dict $live) -}}
{{- $ours := and (eq $owner .Release.Name) (eq $space .Release.Namespace) -}}
{{- if and .Values.metricsApi.enabled (or (not $live) $ours) -}}true{{- end -}}
{{- end -}}
