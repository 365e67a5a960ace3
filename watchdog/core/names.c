/*
 * names.c
 *	  Names of all enumerations of the core, made from the lists in names.h.
 */
#include "names.h"

#include <string.h>

#define RG_TEXT_2(id, name) name,
#define RG_TEXT_3(id, name, text) name,
#define RG_LONG_3(id, name, text) text,

static const char *const diagnosis_names[] = {RG_DIAGNOSES(RG_TEXT_3)};
static const char *const diagnosis_texts[] = {RG_DIAGNOSES(RG_LONG_3)};
static const char *const phase_names[] = {RG_PHASES(RG_TEXT_2)};
static const char *const input_names[] = {RG_INPUTS(RG_TEXT_2)};
static const char *const step_names[] = {RG_STEPS(RG_TEXT_2)};
static const char *const event_names[] = {RG_EVENTS(RG_TEXT_2)};
static const char *const node_state_names[] = {RG_NODE_STATES(RG_TEXT_2)};
static const char *const disk_names[] = {RG_DISKS(RG_TEXT_2)};
static const char *const job_state_names[] = {RG_JOB_STATES(RG_TEXT_2)};
static const char *const job_kind_names[] = {RG_JOB_KINDS(RG_TEXT_2)};
static const char *const job_phase_names[] = {RG_JOB_PHASES(RG_TEXT_2)};
static const char *const method_names[] = {RG_METHODS(RG_TEXT_2)};

static const char *
pick(const char *const *names, int count, int value)
{
	return value >= 0 && value < count ? names[value] : names[0];
}

static int
find(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return 0;
}

const char *
rg_diagnosis_name(RgDiagnosis d)
{
	return pick(diagnosis_names, RG_DIAG_COUNT, (int) d);
}

const char *
rg_diagnosis_text(RgDiagnosis d)
{
	return pick(diagnosis_texts, RG_DIAG_COUNT, (int) d);
}

const char *
rg_phase_name(RgPhase p)
{
	return pick(phase_names, RG_PHASE_COUNT, (int) p);
}

const char *
rg_input_name(RgInput i)
{
	return pick(input_names, RG_INPUT_COUNT, (int) i);
}

const char *
rg_step_name(RgStepKind s)
{
	return pick(step_names, RG_STEP_COUNT, (int) s);
}

const char *
rg_event_name(RgEvent e)
{
	return pick(event_names, RG_EVENT_COUNT, (int) e);
}

const char *
rg_node_state_name(RgNodeState s)
{
	return pick(node_state_names, RG_STATE_COUNT, (int) s);
}

const char *
rg_disk_name(RgDiskView d)
{
	return pick(disk_names, RG_DISKV_COUNT, (int) d);
}

RgDiskView
rg_disk_find(const char *name)
{
	return (RgDiskView) find(disk_names, RG_DISKV_COUNT, name);
}

const char *
rg_job_state_name(RgJobState s)
{
	return pick(job_state_names, RG_JOB_COUNT, (int) s);
}

const char *
rg_job_phase_name(RgJobPhase p)
{
	return pick(job_phase_names, RG_JOBPHASE_COUNT, (int) p);
}

const char *
rg_job_kind_name(RgJobKind k)
{
	return pick(job_kind_names, RG_JOBKIND_COUNT, (int) k);
}

const char *
rg_method_name(RgMethod m)
{
	return pick(method_names, RG_METHOD_COUNT, (int) m);
}

RgDiagnosis
rg_diagnosis_find(const char *name)
{
	return (RgDiagnosis) find(diagnosis_names, RG_DIAG_COUNT, name);
}

RgPhase
rg_phase_find(const char *name)
{
	return (RgPhase) find(phase_names, RG_PHASE_COUNT, name);
}

RgStepKind
rg_step_find(const char *name)
{
	return (RgStepKind) find(step_names, RG_STEP_COUNT, name);
}

RgJobState
rg_job_state_find(const char *name)
{
	return (RgJobState) find(job_state_names, RG_JOB_COUNT, name);
}

RgJobPhase
rg_job_phase_find(const char *name)
{
	return (RgJobPhase) find(job_phase_names, RG_JOBPHASE_COUNT, name);
}

RgJobKind
rg_job_kind_find(const char *name)
{
	return (RgJobKind) find(job_kind_names, RG_JOBKIND_COUNT, name);
}

RgMethod
rg_method_find(const char *name)
{
	return (RgMethod) find(method_names, RG_METHOD_COUNT, name);
}
