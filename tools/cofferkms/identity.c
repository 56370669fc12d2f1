/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/identity.c - verbs on accounts, users, roles, access keys, policies and tokens: each is
 * one operation of the key service, whose members are the verb's operand and options.
 *
 * Invariant: a secret goes to standard output once, or to a file that nobody else may read, which
 * is made before the secret is. One thread.
 */
#include "identity.h"
#include "ask.h"
#include "common/error.h"
#include "common/kms_engine.h"
#include "common/output.h"
#include "secret_file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARN_BYTES COFFER_PRINCIPAL_BYTES_MAX
#define NAME_BYTES 64
#define DOCUMENT_BYTES_MAX (128u << 10)

enum flags {
    CREATES = 1,   /* makes the key store when there is none */
    BY_OWNER = 2,  /* "user" or "role" stands for @ in the operation */
    NEEDS_ONE = 4, /* and one of them must be given */
    ARN_OPERAND = 8
};

struct deed {
    const char *noun, *verb;
    const char *operation;
    unsigned flags;
    const char *operand;  /* member that the operand becomes */
    const char *required; /* options, separated by blanks */
    const char *shown;    /* member that is printed; NULL: the answer */
    const char *columns;
};

static const struct deed deeds[] = {
    {"account", "create", "CreateAccount", CREATES, "AccountId", "", "Account", NULL},
    {"account", "list", "ListAccounts", CREATES, NULL, "", "Accounts", "Id Arn"},
    {"user", "create", "CreateUser", CREATES, "UserName", "", "User", NULL},
    {"user", "describe", "GetUser", 0, "UserName", "", "User", NULL},
    {"user", "list", "ListUsers", CREATES, NULL, "", "Users", "UserName Arn CreateDate"},
    {"user", "delete", "DeleteUser", 0, "UserName", "", NULL, NULL},
    {"role", "create", "CreateRole", CREATES, "RoleName", "trust", "Role", NULL},
    {"role", "describe", "GetRole", 0, "RoleName", "", "Role", NULL},
    {"role", "list", "ListRoles", CREATES, NULL, "", "Roles", "RoleName Arn CreateDate"},
    {"role", "trust", "UpdateAssumeRolePolicy", 0, "RoleName", "trust", NULL, NULL},
    {"role", "delete", "DeleteRole", 0, "RoleName", "", NULL, NULL},
    {"access-key", "create", "CreateAccessKey", CREATES, NULL, "user", "AccessKey", NULL},
    {"access-key", "list", "ListAccessKeys", 0, NULL, "user", "AccessKeyMetadata",
     "UserName AccessKeyId Status CreateDate LastUsedDate"},
    {"access-key", "update", "UpdateAccessKey", 0, NULL, "user access-key-id status", NULL, NULL},
    {"access-key", "delete", "DeleteAccessKey", 0, NULL, "user access-key-id", NULL, NULL},
    {"policy", "put", "PutPolicy", CREATES, "PolicyName", "document", "Policy", NULL},
    {"policy", "get", "GetPolicy", 0, "PolicyName", "", "Policy", NULL},
    {"policy", "list", "ListAttached@Policies", CREATES | BY_OWNER, NULL, "", NULL,
     "PolicyName Arn PolicyArn"},
    {"policy", "delete", "DeletePolicy", 0, "PolicyName", "", NULL, NULL},
    {"policy", "attach", "Attach@Policy", BY_OWNER | NEEDS_ONE, "PolicyArn", "", NULL, NULL},
    {"policy", "detach", "Detach@Policy", BY_OWNER | NEEDS_ONE, "PolicyArn", "", NULL, NULL},
    {"policy", "bound", "Put@PermissionsBoundary", BY_OWNER | NEEDS_ONE, "PermissionsBoundary", "",
     NULL, NULL},
    {"policy", "unbound", "Delete@PermissionsBoundary", BY_OWNER | NEEDS_ONE, NULL, "", NULL, NULL},
    {"policy", "simulate", "SimulatePrincipalPolicy", ARN_OPERAND, "PolicySourceArn", "action",
     "EvaluationResults", "EvalActionName EvalResourceName EvalDecision Reason"},
    {"token", "get", "GetSessionToken", 0, NULL, "", "Credentials", NULL},
    {"token", "assume-role", "AssumeRole", ARN_OPERAND, "RoleArn", "session-name", "Credentials",
     NULL},
    {"token", "whoami", "GetCallerIdentity", CREATES, NULL, "", NULL, NULL},
};

static const struct deed *deed_of(const struct cof_tool_call *call)
{
    size_t i = 0;
    while (strcmp(deeds[i].noun, call->verb->noun) != 0 ||
           strcmp(deeds[i].verb, call->verb->name) != 0) {
        i++;
    }
    return &deeds[i];
}

static bool takes(const struct cof_tool_call *call, const char *option)
{
    return cof_tool_verb_takes(call->program, call->verb, option) && cof_tool_given(call, option);
}

/* ---- the request ------------------------------------------------------------------------- */

/* The caller's account, of which names without an ARN are meant. */
static int find_account(struct cof_key_session *session, char ret_account[13])
{
    json_t *params = json_object(), *answer = NULL;
    int exit_code = cof_key_ask(session, "GetCallerIdentity", params, &answer);
    if (exit_code == 0) {
        snprintf(ret_account, 13, "%s", json_string_value(json_object_get(answer, "Account")));
    }
    json_decref(params);
    json_decref(answer);
    return exit_code;
}

/* user/NAME, role/NAME, NAME (of kind), 12 digits, or an ARN: as an ARN. */
static int whom(struct cof_key_session *session, const char *text, const char *kind,
                char ret_arn[ARN_BYTES])
{
    char account[13];
    if (cof_tool_principal(text, kind, NULL, ret_arn)) {
        return 0;
    }
    int exit_code = find_account(session, account);
    if (exit_code == 0 && !cof_tool_principal(text, kind, account, ret_arn)) {
        exit_code = cof_tool_usage(session->call, NULL, "'%.80s' is too long for a name", text);
    }
    return exit_code;
}

static int act_as(struct cof_key_session *session, char principal[ARN_BYTES])
{
    struct cof_tool_call *call = session->call;
    if (!takes(call, "as")) {
        return 0;
    }
    if (session->kms.client != NULL) {
        return cof_tool_usage(call, NULL,
                              "--as is for the embedded key store: elsewhere you are who "
                              "signs, by AWS_ACCESS_KEY_ID");
    }
    int exit_code = whom(session, cof_tool_text(call, "as", ""), "user/", principal);
    session->principal = exit_code == 0 ? principal : NULL;
    return exit_code;
}

static int check_owner(const struct cof_tool_call *call, const struct deed *deed)
{
    bool user = takes(call, "user"), role = takes(call, "role");
    if (user && role) {
        return cof_tool_usage(call, NULL, "give --user or --role, not both");
    }
    if ((deed->flags & NEEDS_ONE) != 0 && !user && !role) {
        return cof_tool_usage(call, "MissingParameter", "give --user or --role");
    }
    return 0;
}

/* "Attach@Policy" for a user or a role; what is listed of nobody in particular is listed whole. */
static void name_operation(const struct cof_tool_call *call, const struct deed *deed,
                           char ret_name[NAME_BYTES])
{
    const char *at = strchr(deed->operation, '@');
    if (at == NULL) {
        snprintf(ret_name, NAME_BYTES, "%s", deed->operation);
    } else if (!takes(call, "user") && !takes(call, "role")) {
        snprintf(ret_name, NAME_BYTES, "ListPolicies");
    } else {
        snprintf(ret_name, NAME_BYTES, "%.*s%s%s", (int)(at - deed->operation), deed->operation,
                 takes(call, "role") ? "Role" : "User", at + 1);
    }
}

struct member {
    const char *option, *name;
    bool is_document;
};

static const struct member members[] = {
    {"user", "UserName", false},
    {"role", "RoleName", false},
    {"access-key-id", "AccessKeyId", false},
    {"status", "Status", false},
    {"session-name", "RoleSessionName", false},
    {"session-policy", "Policy", true},
    {"document", "PolicyDocument", true},
    {"marker", "Marker", false},
};

static void add_number(const struct cof_tool_call *call, const char *option, const char *name,
                       json_t *params)
{
    if (takes(call, option)) {
        uint64_t number = cof_tool_number(call, option, 0);
        json_object_set_new(params, name,
                            json_integer(number > INT32_MAX ? INT32_MAX : (json_int_t)number));
    }
}

static void add_list(const struct cof_tool_call *call, const char *option, const char *name,
                     json_t *params)
{
    const char *const *values;
    unsigned count = takes(call, option) ? cof_tool_list(call, option, &values) : 0;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_array_append_new(list, json_string(values[i]));
    }
    if (count > 0) {
        json_object_set(params, name, list);
    }
    json_decref(list);
}

/* The text itself, or file://F. */
static int add_document(struct cof_tool_call *call, const char *option, const char *name,
                        json_t *params)
{
    static const char scheme[] = "file://";
    const char *text = cof_tool_text(call, option, "");
    static char buffer[DOCUMENT_BYTES_MAX + 1];
    if (strncmp(text, scheme, sizeof scheme - 1) == 0) {
        const char *path = text + sizeof scheme - 1;
        FILE *file = fopen(path, "rb");
        if (file == NULL) {
            return cof_tool_fail_errno(call, errno, NULL, "cannot open %s", path);
        }
        size_t count = fread(buffer, 1, sizeof buffer, file);
        bool failed = ferror(file) != 0;
        fclose(file);
        if (failed || count == sizeof buffer) {
            return cof_tool_usage(call, NULL, "%s cannot be read, or is no policy: it is too long",
                                  path);
        }
        buffer[count] = '\0';
        text = buffer;
    }
    if (json_object_set_new(params, name, json_string(text)) != 0) {
        return cof_tool_usage(call, NULL, "--%s is not UTF-8", option);
    }
    return 0;
}

static int add_members(struct cof_tool_call *call, json_t *params)
{
    int exit_code = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0] && exit_code == 0; i++) {
        const struct member *member = &members[i];
        if (!takes(call, member->option)) {
            continue;
        }
        if (member->is_document) {
            exit_code = add_document(call, member->option, member->name, params);
        } else {
            json_object_set_new(params, member->name,
                                json_string(cof_tool_text(call, member->option, "")));
        }
    }
    if (exit_code == 0 && takes(call, "trust")) {
        exit_code = add_document(
            call, "trust",
            strcmp(call->verb->name, "create") == 0 ? "AssumeRolePolicyDocument" : "PolicyDocument",
            params);
    }
    add_number(call, "duration-seconds", "DurationSeconds", params);
    add_number(call, "limit", "MaxItems", params);
    add_list(call, "action", "ActionNames", params);
    add_list(call, "resource", "ResourceArns", params);
    return exit_code;
}

static int check_required(const struct cof_tool_call *call, const char *required)
{
    char name[NAME_BYTES];
    while (*required != '\0') {
        size_t length = strcspn(required, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, required);
        if (!cof_tool_given(call, name)) {
            return cof_tool_usage(call, "MissingParameter", "--%s is missing: see --help", name);
        }
        required += length + (required[length] == ' ');
    }
    return 0;
}

/* What needs no key service to be wrong. */
static int check(struct cof_tool_call *call, const struct deed *deed)
{
    int exit_code = check_required(call, deed->required);
    return exit_code == 0 && (deed->flags & BY_OWNER) != 0 ? check_owner(call, deed) : exit_code;
}

static int add_operand(struct cof_key_session *session, const struct deed *deed, json_t *params)
{
    const struct cof_tool_call *call = session->call;
    char arn[ARN_BYTES];
    if (deed->operand == NULL) {
        return 0;
    }
    if ((deed->flags & ARN_OPERAND) == 0) {
        json_object_set_new(params, deed->operand, json_string(call->operands[0]));
        return 0;
    }
    int exit_code = whom(session, call->operands[0],
                         strcmp(call->verb->noun, "token") == 0 ? "role/" : "user/", arn);
    json_object_set_new(params, deed->operand, json_string(arn));
    return exit_code;
}

/* ---- the answer -------------------------------------------------------------------------- */

static int show(struct cof_tool_call *call, const struct deed *deed, json_t *answer)
{
    const char *const listed[] = {"AttachedPolicies", "Policies"};
    struct cof_tool_view view = {.columns = deed->columns};
    json_t *value = deed->shown == NULL ? NULL : json_object_get(answer, deed->shown);
    for (size_t i = 0; i < 2 && value == NULL; i++) {
        value = json_object_get(answer, listed[i]);
    }
    if (json_object_size(answer) == 0) {
        json_decref(answer);
        return 0;
    }
    const char *marker = json_string_value(json_object_get(answer, "Marker"));
    if (marker != NULL) {
        cof_tool_note(call, "more follow: --marker %s", marker);
    }
    view.people = json_incref(value != NULL ? value : answer);
    return cof_tool_print(call, answer, &view);
}

static int ask(struct cof_tool_call *call, const struct deed *deed, json_t *params,
               json_t **ret_answer)
{
    struct cof_key_session session;
    char operation[NAME_BYTES], principal[ARN_BYTES];
    int exit_code = cof_key_open(&session, call, (deed->flags & CREATES) != 0);
    if (exit_code == 0) {
        exit_code = act_as(&session, principal);
    }
    if (exit_code == 0) {
        exit_code = add_operand(&session, deed, params);
    }
    if (exit_code == 0) {
        name_operation(call, deed, operation);
        exit_code = cof_key_ask(&session, operation, params, ret_answer);
    }
    cof_key_close(&session);
    return exit_code;
}

int cof_key_identity(struct cof_tool_call *call)
{
    const struct deed *deed = deed_of(call);
    const char *path = takes(call, "output-file") ? cof_tool_text(call, "output-file", NULL) : NULL;
    json_t *params = json_object(), *answer = NULL;
    int fd = -1;
    int exit_code = check(call, deed);
    if (exit_code == 0) {
        exit_code = add_members(call, params);
    }
    if (exit_code == 0) {
        exit_code = cof_key_secret_open(call, path, &fd);
    }
    if (exit_code == 0) {
        exit_code = ask(call, deed, params, &answer);
    }
    json_decref(params);
    exit_code = cof_key_secret_close(
        call, path, fd, deed->shown == NULL ? answer : json_object_get(answer, deed->shown),
        exit_code);
    if (exit_code != 0) {
        json_decref(answer);
        return exit_code;
    }
    return show(call, deed, answer);
}
