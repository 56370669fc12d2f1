/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/notify.h - what the service manager is told, by the protocol of sd_notify(3).
 */
#ifndef COF_KMS_SERVER_NOTIFY_H
#define COF_KMS_SERVER_NOTIFY_H

/* Send state ("READY=1") to the socket that NOTIFY_SOCKET named; NULL: there is no manager. Nothing
 * depends on it, so it does not fail. */
void cof_server_notify(const char *socket_path, const char *state);

#endif
