# Leases on real servers, without regentd: the test is the watchdog, by SQL.
# What does not extend a lease; what ends it; markers and the lease from the
# standbys; a leader that is older than its standbys; another watchdog.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew run_command lsn_number);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

my $w     = '11111111-2222-3333-4444-555555555555';
my $other = '99999999-2222-3333-4444-555555555555';
my $never = '77777777-2222-3333-4444-555555555555';
my %rule  = (term => 1, seq => 0, leader => 'n1', voters => 'n1,n2,n3', lease => 2000, watchdog => $w);
my $c     = RegentCluster->new(nodes => 3, no_sshd => 1);
my %answer;    # the last heartbeat's, by node

# The value, or the SQLSTATE if it fails.
sub ask
{
	my ($name, $query) = @_;
	my $value = $c->sql($name, "\\set VERBOSITY sqlstate\n$query", may_fail => 1);
	return $value if defined $value;
	return $c->{sql_error} =~ /ERROR:\s+(\w{5})/ ? $1 : "failed: $c->{sql_error}";
}

# beat(NAME, until => …, term => …, boot => …, start => …, watchdog => …, counter => …): its SQLSTATE or ''.
sub beat
{
	my ($name, %o) = @_;
	my $quote = sub { defined $_[0] ? "'$_[0]'" : 'NULL' };
	my $row = ask($name, sprintf('SELECT to_json(h) FROM regent.heartbeat(%s) h', join ', ',
		$quote->($o{watchdog} // $rule{watchdog}), $o{counter} // 1, $quote->($o{boot}), $quote->($o{start}),
		$o{term} // $rule{term}, $o{until} // 'NULL'));
	return $row unless $row =~ /^\{/;
	$answer{$name} = JSON::PP->new->decode($row);
	return '';
}

# A heartbeat with a grant as it should be, from the last answer; %o changes it.
sub grant
{
	my ($name, %o) = @_;
	my $a = $answer{$name};
	return beat($name, boot => $a->{boot_id}, start => $a->{started_at}, until => $a->{boottime_ms} + $rule{lease}, %o);
}

sub open_gate { my ($name) = @_; beat($name); grant($name); return gate($name) eq 'open' }

sub gate { return ask($_[0], 'SELECT gate FROM regent.node_status()') }

sub lease_left { return ask($_[0], "SELECT coalesce(lease_left_ms::text, 'none') FROM regent.node_status()") }

sub write_row { return ask($_[0], 'INSERT INTO written DEFAULT VALUES RETURNING 1') }

sub set
{
	my ($name, $setting, $value) = @_;
	$c->sql($name, "ALTER SYSTEM SET $setting = '$value'");
	$c->sql($name, 'SELECT pg_reload_conf()');
	wait_until(sub { $c->sql($name, "SHOW $setting") eq $value }, 10, "$setting = $value on $name");
}

sub write_rule
{
	my (%change) = @_;
	%rule = (%rule, %change);
	$rule{seq}++ unless defined $change{seq};
	return ask($rule{leader}, "SELECT regent.write_rule('$rule{watchdog}', 1, $rule{term}, $rule{seq}, '$rule{leader}',
		'{$rule{voters}}', 'async', 0, '{}', '$rule{lease} ms', NULL, 'test')->>'term'");
}

sub promise
{
	my ($name, $term) = @_;
	my $row = ask($name, "SELECT to_json(p) FROM regent.promise('$rule{watchdog}', 1, $term, 5000) p");
	return $row =~ /^\{/ ? JSON::PP->new->decode($row) : { error => $row };
}

sub follow
{
	my ($name, $term, $leader) = @_;
	my $l = $c->node($leader);
	return ask($name, "SELECT regent.follow('$rule{watchdog}', 1, $term, '$leader',
		'host=$l->{host} port=$l->{port} user=postgres', 'regent_$name') IS NOT NULL");
}

sub wait_streaming
{
	my ($leader, @names) = @_;
	my $slots = join ',', map { "'regent_$_'" } @names;
	wait_until(sub { $c->sql($leader, "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r
			ON r.pid = s.active_pid WHERE s.slot_name IN ($slots) AND r.state = 'streaming'") == @names },
		20, "@names stream from $leader");
}

sub wait_gate { my ($name, $gate, $timeout) = @_; return wait_until(sub { gate($name) eq $gate }, $timeout || 10, "gate of $name $gate") }

# How many markers there are in the WAL from here on.
sub markers_since
{
	my ($name, $lsn) = @_;
	my $n = $c->node($name);
	my $tl = sprintf '%d', $c->sql($name, 'SELECT timeline FROM regent.node_status()');
	my ($rc, $out) = run_command([ "$RegentCluster::bindir/pg_waldump", '-p', "$n->{dir}/pg_wal", '-t', $tl, '-r', 'LogicalMessage',
		'-s', $lsn, '-e', $c->sql($name, 'SELECT pg_current_wal_flush_lsn()') ]);
	return scalar(() = $out =~ /prefix "pg_regent"/g);
}

sub lsn { return $c->sql($_[0], 'SELECT pg_current_wal_lsn()') }

$c->sql('n1', 'CREATE EXTENSION pg_regent');
$c->sql('n1', 'CREATE TABLE written (id bigserial)');
set('n1', 'regent.lease_from_standbys', 'off');
is(write_rule(seq => 0), 1, 'the first rule');
wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '^regent_'") == 2 }, 20, 'slots');
for my $name ('n2', 'n3')
{
	wait_until(sub { ask($name, 'SELECT term FROM regent.node_status()') eq '1' }, 20, "$name holds the rule");
	is(follow($name, 1, 'n1'), 't', "$name follows on its slot");
}
wait_streaming('n1', 'n2', 'n3');

subtest 'only the right grant opens, and nothing late extends it' => sub {
	is(gate('n1'), 'closed', 'no lease yet');
	is(lease_left('n1'), 'none');
	is(write_row('n1'), '25006', 'a write is refused');
	is(beat('n1'), '', 'a heartbeat without a grant');
	is(gate('n1'), 'closed');

	my %old = %{ $answer{n1} };
	is(grant('n1', until => $old{boottime_ms} - 10), '', 'one whose end is over');
	is(gate('n1'), 'closed');
	is(grant('n1', boot => undef), '', 'one that names no boot');
	is(grant('n1', start => undef), '', 'one that names no server start');
	is(grant('n1', term => 2), '', 'one for a later term');
	is(gate('n1'), 'closed', 'did not count');
	is(grant('n1', boot => $never), 'RG005', 'for another boot');
	is(grant('n1', start => '2020-01-01 00:00:00+00'), 'RG005', 'for another start of the server');
	is(grant('n1', watchdog => $other), 'RG002', 'of another watchdog');
	is(grant('n1', counter => 0), 'RG003', 'of an older life of it');
	is(gate('n1'), 'closed', 'nor did these');

	beat('n1');
	%old = %{ $answer{n1} };
	is(grant('n1'), '', 'the right one');
	is(gate('n1'), 'open', 'does');
	is(write_row('n1'), '1', 'and a write passes');
	my $left = lease_left('n1');
	ok($left > 0 && $left <= $rule{lease}, "the lease ($left ms)");

	my $until = $answer{n1}{boottime_ms} + $answer{n1}{lease_left_ms};
	for (1 .. 3)
	{
		beat('n1', boot => $old{boot_id}, start => $old{started_at}, until => $old{boottime_ms} + $rule{lease});
	}
	cmp_ok(abs($answer{n1}{boottime_ms} + $answer{n1}{lease_left_ms} - $until), '<=', 2, 'repeated, it does not extend');
	wait_gate('n1', 'closed', 5);
	is(lease_left('n1'), 0, 'over');
	beat('n1', boot => $old{boot_id}, start => $old{started_at}, until => $old{boottime_ms} + $rule{lease});
	is(gate('n1'), 'closed', 'delayed, it opens nothing');
	is(write_row('n1'), '25006');

	beat('n1');
	grant('n1', until => $answer{n1}{boottime_ms} + 3600_000);
	$left = lease_left('n1');
	ok($left > 0 && $left <= $rule{lease}, "an hour is cut to the rule's lease ($left ms)");
	beat('n2');
	grant('n2');
	is(lease_left('n2'), 'none', 'a standby has no lease');
};

subtest 'a rule with a shorter lease cuts it' => sub {
	is(write_rule(lease => 60_000), 1);
	ok(open_gate('n1'));
	cmp_ok(lease_left('n1'), '>', 50_000);
	is(write_rule(lease => 2000), 1);
	cmp_ok(lease_left('n1'), '<=', 2000, 'at once');
};

subtest 'a leader that promises is closed at once; its own next rule opens nothing' => sub {
	ok(open_gate('n1'));
	is(promise('n1', 1)->{error}, 'RG004', 'not for its own term');
	is(gate('n1'), 'open');
	my $before = $c->sql('n1', 'SELECT pg_current_wal_flush_lsn()');
	my $p = promise('n1', 2);
	ok(!$p->{complete}, 'a position, not a complete one');
	is($p->{rule}{term}, 1);
	is($p->{last_wal_age_ms}, 0);
	cmp_ok(lsn_number($p->{lsn}), '>=', lsn_number($before), 'what is flushed');
	is(gate('n1'), 'closed');
	is(lease_left('n1'), 'none', 'the lease is gone');
	is(write_row('n1'), '25006');
	beat('n1');
	grant('n1', term => $_) for 1, 2;
	is(gate('n1'), 'closed', 'no grant helps');
	is(promise('n1', 2)->{rule}{term}, 1, 'asked again');

	is(write_rule(term => 2, seq => 0), 2, 'the recruit is undone: it leads in the new term');
	is(gate('n1'), 'closed');
	ok(open_gate('n1'), 'and opens with a new lease');

	is(ask('n1', "SELECT regent.fence('$w', 1, 2)"), 'RG004', 'a late fence of its own term');
	is(gate('n1'), 'open');
	is(ask('n1', "SELECT regent.fence('$w', 1, 3)->>'promised_term'"), 3, 'a fence above it');
	is(gate('n1'), 'closed');
	is(lease_left('n1'), 'none');
	is(write_rule(term => 3, seq => 0), 3);
};

subtest 'markers: written while no watchdog speaks, and only then' => sub {
	# after a fifth of the lease; a slow machine must not be taken for a silent watchdog
	is(write_rule(lease => 10_000), 3);
	beat('n1');
	my $from = lsn('n1');
	my $end = time + 3;
	while (time < $end) { beat('n1'); sleep 0.05; }
	is(markers_since('n1', $from), 0, 'a watchdog speaks');
	is(write_rule(lease => 2000), 3);
	$from = lsn('n1');
	wait_until(sub { markers_since('n1', $from) >= 3 }, 10, 'three markers');
	is(gate('n1'), 'closed', 'regent.lease_from_standbys is off: no lease');
	beat('n2');
	cmp_ok($answer{n2}{wal_age_ms}, '<', $rule{lease}, 'the standbys see an idle primary live');
	beat('n1');
	is($answer{n1}{wal_age_ms}, undef, 'a primary receives nothing');
};

# Rows are written through one session, all the time: every one must be acknowledged.
sub write_for
{
	my ($name, $seconds) = @_;
	my $times = int($seconds / 0.01);
	my ($rc, $out, $err) = run_command([ "$RegentCluster::bindir/psql", '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $c->conninfo($name) ],
		stdin => "INSERT INTO written DEFAULT VALUES;\nSELECT pg_sleep(0.01);\n" x $times, timeout => 60);
	return $rc == 0 ? '' : $err;
}

subtest 'the standbys keep a lease of a second without a gap' => sub {
	is(write_rule(lease => 1000), 3);
	set('n1', 'regent.lease_from_standbys', 'on');
	ok(open_gate('n1'), 'the last grant of the watchdog');
	is(write_for('n1', 4), '', 'four leases later every write has passed');
	is(gate('n1'), 'open');
	like(slurp($c->node('n1')->{log}), qr/a lease of node "n1" begins in term 3/, 'the log tells');
	my $left = lease_left('n1');
	ok($left > 0 && $left <= 1000, "never longer than the rule's lease");
	is(ask('n1', 'SELECT watchdog_seen_ms > 3000 FROM regent.node_status()'), 't', 'and nobody was heard');
};

subtest 'two of two standbys are needed; a promise of one ends it' => sub {
	wait_gate('n1', 'open');
	my $p = promise('n2', 4);
	ok($p->{complete}, 'n2 is recruited');
	my $since = time;
	wait_gate('n1', 'closed', 5);
	cmp_ok(time - $since, '<', 2.5, 'within a lease');
	is(write_row('n1'), '25006');
	cmp_ok($p->{last_wal_age_ms}, '<', 1000, 'it had received markers until then');

	# one that only bears its name does not count
	my $n1 = $c->node('n1');
	my $pid = $c->spawn([ "$RegentCluster::bindir/pg_receivewal", '-D', $c->dir, '--synchronous', '--no-loop', '-d',
		"host=$n1->{host} port=$n1->{port} user=postgres application_name=n2" ], "$c->{dir}/receivewal.log");
	$c->{pids}{receivewal} = $pid;
	wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_stat_replication
		WHERE application_name = 'n2' AND state = 'streaming' AND flush_lsn IS NOT NULL") == 1 }, 20, 'pg_receivewal');
	my $from = lsn('n1');
	wait_until(sub { markers_since('n1', $from) >= 3 }, 10, 'three markers');
	is(gate('n1'), 'closed', 'pg_receivewal is no voter');
	kill 'KILL', $pid;
	waitpid $pid, 0;

	# the recruit is undone
	promise('n3', 4);
	promise('n1', 4);
	follow($_, 4, 'n1') for 'n2', 'n3';
	is(write_rule(term => 4, seq => 0), 4);
	wait_streaming('n1', 'n2', 'n3');
	wait_gate('n1', 'open');
	like(slurp($c->node('n1')->{log}), qr/a lease of node "n1" begins in term 4, from its standbys/, 'not with the lease of the term before');
	is(write_row('n1'), 1, 'they give one to the leader of the new term');
};

subtest 'a restarted leader has none, and gets one from the standbys' => sub {
	my $flushed = sub { $c->sql('n2', 'SELECT flush_lsn FROM regent.node_status()') };
	$c->stop_server('n1', 'fast');
	my $end = $flushed->();
	$c->start_server('n1');
	is(gate('n1'), 'closed', 'closed at its start');
	beat('n1');
	is($answer{n1}{start_lsn}, $end, 'its WAL ends where the standbys have it');
	wait_gate('n1', 'open', 20);
	is(write_row('n1'), 1);
	beat('n1');
	is($answer{n1}{start_lsn}, $end, 'wherever it is now');

	$c->stop_server('n1', 'immediate');
	wait_until(sub { $c->sql('n2', 'SELECT count(*) FROM pg_stat_wal_receiver') == 0 }, 10, 'the receiver to end');
	$end = lsn_number($flushed->());
	$c->start_server('n1');
	beat('n1');
	cmp_ok(lsn_number($answer{n1}{start_lsn}), '>=', $end, 'after a crash, too');
	cmp_ok(lsn_number($answer{n1}{start_lsn}), '<', lsn_number($answer{n1}{current_lsn}), 'before its own checkpoint');
	beat('n2');
	is($answer{n2}{start_lsn}, undef, 'a standby has no such place');
	wait_gate('n1', 'open', 20);
};

subtest 'their lease begins with the marker, not with their answer' => sub {
	is(write_rule(lease => 20_000), 4);
	set('n1', 'regent.lease_from_standbys', 'off');
	$c->stop_server('n1', 'fast');
	$c->start_server('n1');
	wait_streaming('n1', 'n2', 'n3');
	my @receivers = map { $c->sql($_, 'SELECT pid FROM pg_stat_wal_receiver') } 'n2', 'n3';
	kill 'STOP', @receivers;
	my $from = lsn('n1');
	set('n1', 'regent.lease_from_standbys', 'on');
	wait_until(sub { markers_since('n1', $from) >= 1 }, 20, 'a marker');
	my $seen = time;
	wait_until(sub { time > $seen + 2.5 }, 5, 'it to be old');
	is(gate('n1'), 'closed', 'nobody has flushed it');
	kill 'CONT', @receivers;
	wait_gate('n1', 'open');
	my $rest = lease_left('n1');
	cmp_ok($rest, '<=', 17_500, "its age is gone ($rest ms)");
	is(write_rule(lease => 1000), 4);
};

subtest 'one of one: a standby that is no voter does not count' => sub {
	is(write_rule(voters => 'n1,n2'), 4);
	ok(wait_gate('n1', 'open'));
	$c->stop_server('n3');
	is(write_for('n1', 2), '', 'without n3');
	$c->start_server('n3');
	wait_streaming('n1', 'n2', 'n3');
	ok(promise('n2', 5)->{complete});
	wait_gate('n1', 'closed', 5);
	my $from = lsn('n1');
	wait_until(sub { markers_since('n1', $from) >= 3 }, 10, 'three markers');
	wait_until(sub { lsn_number($c->sql('n3', 'SELECT flush_lsn FROM regent.node_status()')) > lsn_number($from) }, 10, 'n3 has them');
	is(gate('n1'), 'closed', 'n3 flushes them, and is no voter');
	promise($_, 5) for 'n1', 'n3';
	follow($_, 5, 'n1') for 'n2', 'n3';
	is(write_rule(term => 5, seq => 0), 5);
	wait_streaming('n1', 'n2', 'n3');
};

subtest 'without any standby it renews a lease that it has had' => sub {
	is(write_rule(voters => 'n1'), 5);
	ok(open_gate('n1'));
	is(write_for('n1', 3), '', 'three leases');
	$c->stop_server('n1', 'fast');
	$c->start_server('n1');
	wait_until(sub { ask('n1', 'SELECT term FROM regent.node_status()') eq '5' }, 10, 'its rule');
	my $until = time + 2;
	my @seen;
	while (time < $until) { push @seen, gate('n1'); sleep 0.1; }
	is(scalar(grep { $_ ne 'closed' } @seen), 0, 'never one that it has not had');
	is(write_rule(voters => 'n1,n2,n3'), 5);
	wait_streaming('n1', 'n2', 'n3');
};

subtest 'another watchdog is shown, and takes over when it is told to' => sub {
	is(beat('n1', watchdog => $other, counter => 7), 'RG002');
	beat('n1');
	is($answer{n1}{intruder}, "$other counter 7", 'shown to the one that is obeyed');
	ok($answer{n1}{intruder_age_ms} >= 0 && $answer{n1}{intruder_age_ms} < 10_000, 'with its age');
	beat('n2');
	is($answer{n2}{intruder}, undef, 'where it was');
	is(ask('n1', "SELECT regent.publish('$w', 0, 5, '{}')"), 'RG003');
	beat('n1');
	is($answer{n1}{intruder}, "$w counter 0", 'an older life, too');

	# a rule that a node learns later names the old one, and it would obey that again: regentd repeats a takeover, this test does not
	for my $name ('n2', 'n3') { wait_until(sub { !beat($name) && $answer{$name}{rule}{seq} == $rule{seq} }, 10, "$name knows the newest rule") }
	is(ask('n1', "SELECT regent.takeover('$other', 7, '$never')"), 'RG002', 'the old one must be named');
	for my $name ('n1', 'n2', 'n3')
	{
		is(ask($name, "SELECT regent.takeover('$other', 1, '$w') IS NOT NULL"), 't', $name);
		like(slurp($c->node($name)->{dir} . '/regent.state'), qr/^watchdog $other 1$/m, 'durable');
	}
	is(ask('n1', "SELECT regent.takeover('$other', 1, '$w') IS NOT NULL"), 't', 'again');
	is(ask('n1', "SELECT regent.takeover('$other', 0, '$w')"), 'RG003', 'not for an older life of it');
	is(beat('n1'), 'RG002', 'the old one is refused');
	$rule{watchdog} = $other;
	is(beat('n1'), '', 'the new one is answered');
	is($answer{n1}{intruder}, "$w counter 1");
	is(write_rule(), 5, 'it goes on in the same term, which was promised to the other one');
	wait_until(sub { beat('n2'); $answer{n2}{rule}{watchdog} eq $other }, 10, 'the rule names it');
	ok(open_gate('n1'), 'and grants');
};

subtest 'requests and a checkpoint' => sub {
	beat('n2');
	is(ask('n2', "SELECT regent.switchover('n1')"), 'RG010', 'n1 leads already');
	is(ask('n2', "SELECT regent.switchover('n9')"), '42704');
	like(ask('n2', "SELECT regent.switchover('n3')"), qr/^\d+$/);
	like(ask('n2', 'SELECT regent.switchover()'), qr/^\d+$/);
	beat('n2');
	is_deeply([ map { "$_->{kind} '$_->{node}'" } @{ $answer{n2}{requests} } ], [ "switchover 'n3'", "switchover ''" ]);
	is(ask('n2', "SELECT string_agg(kind || ' ' || state, ',') FROM regent.jobs()"), 'switchover queued,switchover queued');
	my $before = $c->sql('n1', 'SELECT checkpoint_lsn FROM pg_control_checkpoint()');
	is(ask('n1', "SELECT regent.checkpoint('$other', 1, 5)->>'node'"), 'n1');
	isnt($c->sql('n1', 'SELECT checkpoint_lsn FROM pg_control_checkpoint()'), $before, 'a new checkpoint');
	is(ask('n1', "SELECT regent.checkpoint('$w', 1, 5)"), 'RG002');
	is(ask('n1', "SELECT regent.checkpoint('$other', 1, 4)"), 'RG004');
};

subtest 'a promise survives a restart and keeps the receiver off' => sub {
	my $n1 = $c->node('n1');
	ok(promise('n3', 6)->{complete});
	$c->stop_server('n3', 'immediate');
	$c->start_server('n3');
	is(ask('n3', 'SELECT promised_term FROM regent.node_status()'), 6);
	$c->sql('n3', "ALTER SYSTEM SET primary_conninfo = 'host=$n1->{host} port=$n1->{port} user=postgres'");
	$c->sql('n3', 'SELECT pg_reload_conf()');
	wait_until(sub { slurp($c->node('n3')->{log}) =~ /turns the walreceiver of node "n3" off/ }, 10, 'the worker to see it');
	wait_until(sub { $c->sql('n3', 'SELECT count(*) FROM pg_stat_wal_receiver') == 0 &&
		$c->sql('n3', 'SHOW primary_conninfo') eq '' }, 10, 'the receiver to be off');
	spew($c->node('n3')->{dir} . '/postgresql.auto.conf', "primary_conninfo = 'host=$n1->{host} port=$n1->{port} user=postgres'\n");
	$c->stop_server('n3');
	$c->start_server('n3');
	wait_until(sub { $c->sql('n3', 'SHOW primary_conninfo') eq '' }, 10, 'after a restart, too');
	is(follow('n3', 5, 'n1'), 'RG004', 'it follows nobody below its promise');
};

subtest 'a member without its state file votes for nobody' => sub {
	my $n3 = $c->node('n3');
	my $n1 = $c->node('n1');
	$c->stop_server('n3');
	unlink "$n3->{dir}/regent.state";
	spew("$n3->{dir}/postgresql.auto.conf",
		"regent.adopting = ''\nprimary_conninfo = 'host=$n1->{host} port=$n1->{port} user=postgres'\n");
	$c->start_server('n3');
	wait_until(sub { beat('n3') eq 'RG009' }, 10, 'RG009');
	is(promise('n3', 7)->{error}, 'RG009', 'no promise');
	wait_until(sub { $c->sql('n3', 'SELECT count(*) FROM pg_stat_wal_receiver') == 0 &&
		$c->sql('n3', 'SHOW primary_conninfo') eq '' }, 10, 'its receiver is off');
	ok(!-e "$n3->{dir}/regent.state", 'no file is made up');
	like(slurp($n3->{log}), qr/it is missing, and the rules.*HINT:.*regent\.adopting/s, 'the log says why and what to do');
	$c->stop_server('n3');
	$c->start_server('n3');
	wait_until(sub { beat('n3') eq 'RG009' }, 10, 'RG009 after a restart');

	set('n3', 'regent.adopting', RegentCluster::adopting_until());
	wait_until(sub { beat('n3') eq '' }, 10, 'it is let in while regent.adopting is in force');
	is($answer{n3}{rule}{term}, 5);
	is(follow('n3', 5, 'n1'), 't');
	wait_streaming('n1', 'n2', 'n3');
	ok(-e "$n3->{dir}/regent.state", 'with a file of its own');
};

subtest 'a promise cuts the receiver and lifts what holds replay; a position counts all WAL that is there' => sub {
	ok(wait_gate('n1', 'open'));
	$c->sql('n1', 'CREATE TABLE held ()');
	$c->wait_caught_up('n1', 'n2', 'n3');

	# n2: replay waits for a session, as long as that lasts, and reads no settings meanwhile; n3: an hour, and paused
	set('n2', 'max_standby_streaming_delay', '-1');
	set('n3', 'recovery_min_apply_delay', '1h');
	$c->{pids}{reader} = $c->spawn([ "$RegentCluster::bindir/psql", '-Xq', '-d', $c->conninfo('n2'),
		'-c', 'BEGIN', '-c', 'TABLE held', '-c', 'SELECT pg_sleep(600)' ], '/dev/null');
	wait_until(sub { $c->sql('n2', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1 }, 10, 'the reader');
	$c->sql('n1', 'DROP TABLE held');
	my $there = $c->sql('n1', 'SELECT pg_current_wal_flush_lsn()');
	my $flushed = sub { lsn_number($c->sql($_[0], 'SELECT flush_lsn FROM regent.node_status()')) >= lsn_number($there) };
	wait_until(sub { $flushed->('n2') && $flushed->('n3') }, 10, 'both to have it');
	wait_until(sub { $c->sql('n2', "SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'startup'") eq 'Lock' }, 10, 'the conflict');
	is($c->sql('n2', 'SELECT count(*) FROM pg_stat_wal_receiver'), 1, 'n2 receives on, while its startup process reads nothing');

	# restarted, n3 has forgotten what it received: replay has not come so far
	$c->stop_server('n3', 'immediate');
	$c->start_server('n3');
	$c->sql('n3', 'SELECT pg_wal_replay_pause()');
	is($c->sql('n3', 'SELECT pg_last_wal_receive_lsn() IS NULL'), 't', 'n3 remembers no receipt');
	cmp_ok(lsn_number($c->sql('n3', 'SELECT pg_last_wal_replay_lsn()')), '<', lsn_number($there), 'and has not replayed it');

	for my $name ('n3', 'n2')
	{
		my $p = promise($name, 6);
		ok($p->{complete}, "$name: complete") or diag explain $p;
		cmp_ok(lsn_number($p->{lsn} // '0/0'), '>=', lsn_number($there), 'its position is that of its WAL');
		is($c->sql($name, 'SELECT count(*) FROM pg_stat_wal_receiver'), 0, 'its receiver is gone');
		is($c->sql($name, "SELECT to_regclass('held') IS NULL"), 't', 'and all is replayed');
	}
	ok(defined RegentCluster::reap(delete $c->{pids}{reader}, 10), 'the session in the way was ended');
	for ([ 'n2', 'max_standby_streaming_delay' ], [ 'n3', 'recovery_min_apply_delay' ])
	{
		$c->sql($_->[0], "ALTER SYSTEM RESET $_->[1]");
		$c->sql($_->[0], 'SELECT pg_reload_conf()');
	}
	promise('n1', 6);
	follow($_, 6, 'n1') for 'n2', 'n3';
	is(write_rule(term => 6, seq => 0), 6);
	wait_streaming('n1', 'n2', 'n3');
};

subtest 'a source of WAL that no file can take away: no promise' => sub {
	my ($n1, $n3) = ($c->node('n1'), $c->node('n3'));
	$c->stop_server('n3');
	RegentCluster::must([ "$RegentCluster::bindir/pg_ctl", '-D', $n3->{dir}, '-l', $n3->{log}, '-w', '-s',
		'-o', "-c primary_conninfo='host=$n1->{host} port=$n1->{port} user=postgres application_name=n3'", 'start' ]);
	is(promise('n3', 7)->{error}, 'RG007', 'refused');
	is(ask('n3', 'SELECT promised_term FROM regent.node_status()'), 6, 'and nothing is promised');
	$c->stop_server('n3');
	$c->start_server('n3');
	wait_streaming('n1', 'n2', 'n3');
};

subtest 'a start is in the state file until it has had a lease, and a standby shows it' => sub {
	my $dir = $c->node('n1')->{dir};
	my $noted = sub { slurp("$dir/regent.state") =~ /^unopened (.*)$/m ? $1 : 'no such line' };
	my $begun = sub {
		my ($what) = @_;
		$c->stop_server('n1', 'immediate');
		$c->start_server('n1');
		beat('n1');
		my $line = "$answer{n1}{timeline} $answer{n1}{start_lsn}";
		wait_until(sub { $noted->() eq $line }, 10, "the note of $what");
		return $answer{n1}{start_lsn};
	};
	set('n1', 'regent.lease_from_standbys', 'off');
	is($noted->(), '-', 'nothing before');
	$begun->('a start');
	grant('n1');
	is(gate('n1'), 'open', 'the first lease');
	is($noted->(), '-', 'with which the note is gone');

	my $from = $begun->('another start');
	$c->sql('n1', 'SELECT pg_switch_wal()');
	$c->stop_server('n1', 'immediate');
	spew("$dir/standby.signal", '');
	$c->start_server('n1');
	beat('n1');
	is($answer{n1}{start_lsn}, $from, 'a standby tells up to where its WAL is beyond doubt');
	cmp_ok(lsn_number($answer{n1}{replay_lsn}), '>', lsn_number($from), 'it has more');

	$c->stop_server('n1', 'fast');
	unlink "$dir/standby.signal";
	$c->start_server('n1');
	beat('n1');
	cmp_ok(lsn_number($answer{n1}{start_lsn}), '>=', lsn_number($from), 'a primary again');
	is($noted->(), "$answer{n1}{timeline} $from", 'the first of its starts without a lease counts');
	set('n1', 'regent.lease_from_standbys', 'on');
	wait_gate('n1', 'open', 20);
	is($noted->(), '-', 'the standbys have opened it');
	wait_streaming('n1', 'n2', 'n3');
};

# Last: it ends with servers that do not fit together any more.
subtest 'a leader that is older than its standbys closes, until the watchdog has looked' => sub {
	my $dir = $c->node('n1')->{dir};
	my $log = $c->node('n1')->{log};
	set('n1', 'regent.lease_from_standbys', 'off');
	is(write_rule(lease => 5000), 6);
	$c->stop_server('n1', 'fast');
	RegentCluster::must([ 'cp', '-a', $dir, "$dir.older" ]);
	$c->start_server('n1');
	wait_streaming('n1', 'n2', 'n3');
	wait_until(sub { open_gate('n1') }, 10, 'n1 opens');
	$c->sql('n1', "INSERT INTO written SELECT g FROM generate_series(1, 5000) g");
	$c->wait_caught_up('n1', 'n2', 'n3');
	$c->stop_server('n1', 'immediate');
	rename $dir, "$dir.newer";
	rename "$dir.older", $dir;
	my $seen = length slurp($log);
	my $there = lsn_number($c->sql('n2', 'SELECT replay_lsn FROM regent.node_status()'));
	$c->start_server('n1');
	beat('n1');
	cmp_ok(lsn_number($answer{n1}{start_lsn}), '<', $there, 'its start tells');
	wait_until(sub { beat('n1'); $answer{n1}{ahead} }, 20, 'a standby to show that it is ahead');
	like($answer{n1}{ahead}, qr/^n[23]$/, 'its name');
	like(substr(slurp($log), $seen), qr/shows WAL that node "n1" does not have/, 'and the log');

	# a grant upon an answer that did not show it; its end is still to come
	grant('n1', until => $answer{n1}{boottime_ms} - 1500 + $rule{lease});
	is(gate('n1'), 'closed', 'no grant of somebody who could not know');
	set('n1', 'regent.lease_from_standbys', 'on');
	my $from = lsn('n1');
	wait_until(sub { markers_since('n1', $from) >= 3 }, 10, 'three markers');
	is(gate('n1'), 'closed', 'nor do the standbys open it');
	is(write_row('n1'), '25006');
	beat('n1');
	ok($answer{n1}{ahead}, 'it stays noted');

	# the watchdog has seen it and judges that all is well
	wait_until(sub { beat('n1'); grant('n1'); gate('n1') eq 'open' }, 10, 'the gate to open');
	is($answer{n1}{ahead}, undef, 'its word counts');
};

done_testing();
