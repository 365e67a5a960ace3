#
# The gate of a leader in sync, with three servers: a commit is told only when a
# voter has flushed it, whatever ended PostgreSQL's own wait, and only while the
# lease lasts.  The test plays the watchdog and freezes walreceivers.
#
use strict;
use warnings;

use RegentClient;
use RegentCluster qw(wait_until run_command);
use RegentGate;
use Test::More;

my $bindir = $RegentCluster::bindir;
my $c = RegentCluster->new(nodes => 3, no_sshd => 1, conf => $RegentGate::conf);
my $n = $c->node('n1');
my $number = 0;

sub client { return RegentClient->new(host => $n->{host}, port => $n->{port}, @_) }
sub sql { return $c->sql('n1', @_) }
sub acknowledged { return RegentClient::is_acknowledged($_[0]) }
sub row_exists { return sql("SELECT count(*) FROM t WHERE v = '$_[0]'") == 1 }

my $g = RegentGate->new(cluster => $c, node => 'n1', voters => '{n1,n2,n3}', durability => 'sync', quorum => 1);
sql('CREATE TABLE t (id bigserial PRIMARY KEY, v text)');
sql("CREATE PROCEDURE commits(text) LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO t (v) VALUES (\$1); COMMIT; PERFORM 1; END \$\$");
$g->rule('1 hour');

# The standbys take their own slots, which the leader's worker makes.
wait_until(sub { sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('regent_n2', 'regent_n3')") == 2 }, 20, 'slots');
for my $name ('n2', 'n3')
{
	$c->sql($name, "ALTER SYSTEM SET primary_slot_name = 'regent_$name'");
	$c->sql($name, "ALTER SYSTEM SET primary_conninfo = 'host=$n->{host} port=$n->{port} user=postgres application_name=$name'");
	$c->sql($name, 'SELECT pg_reload_conf()');
}
wait_until(sub { sql("SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
	WHERE r.state = 'streaming' AND s.slot_name = 'regent_' || r.application_name") == 2 }, 30, 'both standbys to stream over their slots');
my $names = 'ANY 1 (n1, n2, n3)';
# The setting is the worker's: whoever wants another one has to hold it.
my $worker;

sub set_names
{
	my ($value) = @_;
	if (!$worker)
	{
		$worker = sql("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_regent%'");
		kill('STOP', $worker);
	}
	sql("ALTER SYSTEM SET synchronous_standby_names = '$value'");
	sql('SELECT pg_reload_conf()');
	wait_until(sub { sql('SHOW synchronous_standby_names') eq $value }, 20, 'synchronous_standby_names');
}
sub names_of_rule
{
	kill('CONT', $worker) if $worker;
	$worker = undef;
	wait_until(sub { sql('SHOW synchronous_standby_names') eq $names }, 20, 'synchronous_standby_names as the rule has it');
}
$g->open;
names_of_rule();
wait_until(sub { sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'") == 2 }, 20, 'two synchronous standbys');

my @frozen;

sub receiver_pids { return map { $c->sql($_, 'SELECT pid FROM pg_stat_wal_receiver') } @_ }

sub freeze
{
	push @frozen, receiver_pids(@_ ? @_ : ('n2', 'n3'));
	kill('STOP', @frozen);
}

sub thaw { kill('CONT', splice @frozen) if @frozen }

END { kill('CONT', @frozen) if @frozen }

sub wait_event
{
	my ($s, $event) = @_;
	wait_until(sub { (sql("SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $s->{pid}") // '') eq $event }, 20,
		"session $s->{pid} to wait for $event");
}

# A session whose commit waits in PostgreSQL's own wait: (session, value of its row)
sub waiting_commit
{
	my ($statement, %o) = @_;
	my $v = 'v' . ++$number;
	my $s = client(options => $o{options});
	$statement //= "INSERT INTO t (v) VALUES ('%')";
	s/%/$v/g for grep { defined } $statement, $o{first};
	$s->query($o{first}) if $o{first};
	$s->send_query($statement);
	wait_event($s, 'SyncRep');
	return ($s, $v);
}

# PostgreSQL's wait is over, the gate's is not.
sub told_nothing_yet
{
	my ($s, $name) = @_;
	wait_event($s, 'Extension');
	my $r = $s->result(0.3);
	ok(!@{ $r->{tags} } && !defined $r->{ready} && !$r->{closed}, "$name: not told while the voters lack it") or diag explain $r;
}

sub never_told
{
	my ($s, $name) = @_;
	my $r = $s->result(30);
	ok($r->{closed} && !@{ $r->{tags} } && !defined $r->{ready}, "$name: never told") or diag explain $r;
	return $r;
}

# ------------------------------------------------ what counts

my $s = client();
ok(acknowledged($s->query("INSERT INTO t (v) VALUES ('all is well')")), 'a commit that the voters have flushed is told');
freeze('n3');
ok(acknowledged($s->query("INSERT INTO t (v) VALUES ('one is enough')")), 'one of two is enough for quorum 1');
freeze('n2');
for my $level ('off', 'local')
{
	ok(acknowledged($s->query("SET synchronous_commit = $level; INSERT INTO t (v) VALUES ('$level')")),
		"synchronous_commit = $level asks for no count");
}
$s->query('RESET synchronous_commit');
ok(acknowledged($s->query("SELECT pg_logical_emit_message(false, 'a', 'b')")), 'a message without a transaction asks for none');
ok(acknowledged($s->query('SELECT count(*) FROM t')), 'reads pass');
thaw();

for my $level ('remote_write', 'on', 'remote_apply')
{
	my $v = 'v' . ++$number;
	ok(acknowledged($s->query("SET synchronous_commit = $level; INSERT INTO t (v) VALUES ('$v')")), "synchronous_commit = $level");
}
$s->query('RESET synchronous_commit');
ok(acknowledged($s->query("CREATE UNLOGGED TABLE u (a int); INSERT INTO u VALUES (1)")), 'an unlogged table');
ok(acknowledged($s->query("BEGIN; INSERT INTO t (v) VALUES ('p'); PREPARE TRANSACTION 'p'")), 'PREPARE TRANSACTION');
ok(acknowledged($s->query("COMMIT PREPARED 'p'")), 'COMMIT PREPARED');

# ------------------------------------------------ a wait that was ended

my %ends = (
	'pg_cancel_backend' => sub { sql("SELECT pg_cancel_backend($_[0]{pid})") },
	'client cancel' => sub { $_[0]->cancel },
	'synchronous_standby_names emptied by a reload' => sub { set_names('') },
);
for my $how (sort keys %ends)
{
	freeze();
	my ($first, $v1) = waiting_commit();
	$ends{$how}->($first);
	told_nothing_yet($first, $how);
	names_of_rule();
	thaw();
	ok(acknowledged($first->result(30)), "$how: told when a voter has flushed it, in time");

	freeze();
	my ($late, $v2) = waiting_commit();
	$ends{$how}->($late);
	told_nothing_yet($late, $how);
	$g->close;
	never_told($late, $how);
	ok(row_exists($v2), "$how: its row is committed here");
	thaw();
	$g->open;
	names_of_rule();
}

# statement_timeout reaches a commit only inside of a procedure
freeze();
my ($p, $v) = waiting_commit("CALL commits('%')", options => { statement_timeout => '3s' });
told_nothing_yet($p, 'statement_timeout');
$g->close;
never_told($p, 'statement_timeout');
thaw();
$g->open;

# another cancel changes nothing; the end of the session ends it without an answer
freeze();
($p, $v) = waiting_commit();
$p->cancel;
told_nothing_yet($p, 'one cancel');
$p->cancel;
told_nothing_yet($p, 'two cancels');
sql("SELECT pg_terminate_backend($p->{pid})");
never_told($p, 'pg_terminate_backend in the gate\'s wait');
ok(row_exists($v), 'its row is committed here');
($p, $v) = waiting_commit();
sql("SELECT pg_terminate_backend($p->{pid})");
never_told($p, 'pg_terminate_backend in the own wait');
thaw();

# two-phase commit
ok(acknowledged($s->query("BEGIN; INSERT INTO t (v) VALUES ('2pc'); PREPARE TRANSACTION 'two'")), 'prepared in time');
freeze();
for my $words ("COMMIT PREPARED 'two'", "PREPARE TRANSACTION '%'")
{
	($p, $v) = waiting_commit($words, first => $words =~ /^PREPARE/ ? "BEGIN; INSERT INTO t (v) VALUES ('%')" : undef);
	$p->cancel;
	told_nothing_yet($p, $words);
	sql("SELECT pg_terminate_backend($p->{pid})");
	never_told($p, $words);
}
thaw();
wait_until(sub { sql("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$v'") == 1 }, 20, 'the prepared one');
sql("ROLLBACK PREPARED '$v'");

# ------------------------------------------------ the lease ends in the wait

freeze();
($p, $v) = waiting_commit();
$g->close;
thaw();
never_told($p, 'the lease ended in the wait, then the standbys came back');
ok(row_exists($v), 'and the row is there');
$g->open;

freeze();
($p, $v) = waiting_commit();
kill('STOP', $p->{pid});
thaw();
$g->close;
wait_until(sub { sql("SELECT bool_and(flush_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication") eq 't' }, 20, 'standbys to have all');
kill('CONT', $p->{pid});
never_told($p, 'frozen in the wait and woken after the lease');
ok(row_exists($v), 'and the row is there');
$g->open;

# ------------------------------------------------ those who pose as a standby

sub stop_receiver
{
	my ($name) = @_;
	$c->sql($name, "ALTER SYSTEM SET primary_conninfo = ''");
	$c->sql($name, 'SELECT pg_reload_conf()');
	wait_until(sub { $c->sql($name, 'SELECT count(*) FROM pg_stat_wal_receiver') == 0 }, 20, "$name to stop receiving");
}
stop_receiver($_) for 'n2', 'n3';
sql("SELECT pg_create_physical_replication_slot('poser')");
my %posers = (
	pg_receivewal => [ "$bindir/pg_receivewal", '--synchronous', '--slot', 'poser', '--no-loop', '-D', $c->dir . '/wal' ],
	pg_basebackup => [ "$bindir/pg_basebackup", '-X', 'stream', '--slot', 'poser', '--max-rate', '32k', '-c', 'fast', '-D', $c->dir . '/copy' ],
);
mkdir $c->dir . '/wal';
for my $name ('pg_receivewal', 'pg_basebackup')
{
	my $pid = $c->spawn([ @{ $posers{$name} }, '-d', "host=$n->{host} port=$n->{port} user=postgres application_name=n2" ], $c->dir . "/$name.log");
	$c->{pids}{$name} = $pid;
	wait_until(sub { sql("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n2' AND state = 'streaming' AND sync_state = 'quorum'") == 1 },
		30, "$name to pose as a standby", sub { RegentCluster::slurp($c->dir . "/$name.log") });
	my $f = client();
	$v = 'v' . ++$number;
	$f->send_query("INSERT INTO t (v) VALUES ('$v')");
	# pg_basebackup reports its flushes rarely: what it writes is switched to a new file
	sql('SELECT pg_switch_wal()', conninfo => "options='-c synchronous_commit=local'");
	told_nothing_yet($f, "$name under a standby's name");
	$g->close;
	never_told($f, "$name under a standby's name");
	ok(row_exists($v), 'and the row is there');
	# pg_basebackup's child, which receives, would notice its end with the next WAL that comes, or not at all
	kill('KILL', $pid, map { /(\d+)/ } qx(ps -o pid= --ppid $pid));
	RegentCluster::reap($pid, 10);
	delete $c->{pids}{$name};
	$g->open;
}
for my $name ('n2', 'n3')
{
	$c->sql($name, "ALTER SYSTEM SET primary_conninfo = 'host=$n->{host} port=$n->{port} user=postgres application_name=$name'");
	$c->sql($name, 'SELECT pg_reload_conf()');
}
wait_until(sub { sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'") == 2 }, 30, 'the standbys to be back');
ok(acknowledged(client()->query("INSERT INTO t (v) VALUES ('back')")), 'with the true standbys all is well again');

# ------------------------------------------------ the server is stopped in the wait

for my $mode ('smart', 'fast', 'immediate')
{
	freeze();
	($p, $v) = waiting_commit();
	my ($q, $w) = waiting_commit();
	$q->cancel;
	wait_event($q, 'Extension');
	run_command([ "$bindir/pg_ctl", '-D', $n->{dir}, '-W', '-s', '-m', $mode, 'stop' ]);
	if ($mode eq 'smart')
	{
		my $r = $p->result(0.5);
		ok(!@{ $r->{tags} } && !$r->{closed}, 'smart: sessions go on to wait');
		run_command([ "$bindir/pg_ctl", '-D', $n->{dir}, '-W', '-s', '-m', 'fast', 'stop' ]);
	}
	my $r = $p->result(30);
	ok($r->{closed} && !@{ $r->{tags} } && !defined $r->{ready}, "$mode shutdown: never told") or diag explain $r;
	$r = $q->result(30);
	ok($r->{closed} && !@{ $r->{tags} } && !defined $r->{ready}, "$mode shutdown in the gate's wait: never told") or diag explain $r;
	thaw();
	wait_until(sub { !$c->processes('n1') }, 60, 'the server to be gone');
	$c->start_server('n1');
	is($g->status('gate'), 'closed', "$mode: started by hand it is closed");
	wait_until(sub { sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 2 }, 60, 'the standbys to be back');
	ok(row_exists($v), "$mode: the row is there");
	$g->open;
}

$c->finish;
done_testing();
