{{- /*
What the operator may do where it serves. It may create a Secret and can never read one: a pod names the Secret that it
needs, the kubelet reads it, and a missing one shows in the pod's status.
*/ -}}
{{- define "paddock.operator.rules" -}}
- apiGroups: [paddock.dev]
  resources: [inferenceservices]
  verbs: [get, list, watch]
- apiGroups: [paddock.dev]
  resources: [inferenceservices/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
# One goes when the spec names another account.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [list, watch, create, patch, delete]
# By this text the pods of a replica that spans several know each other.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch, create, patch, delete]
{{- if .Values.keda.enabled }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, create, patch, delete]
{{- end }}
# Pods belong to their StatefulSet; the operator reads their state, deletes whole groups in a rollout, and writes the
# list of adapters that a pod loads while it runs.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# Only what a Service really routes to may count as available.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# Written for people; read for the cause of a pod that does not start.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create, patch]
{{- end -}}
