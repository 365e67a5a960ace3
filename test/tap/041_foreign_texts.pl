# Texts from elsewhere, longer than is kept or in another encoding: a server's message, a
# helper's answer.  Status, events, journal and jobs hold them, and a restart forgets nothing.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use JSON::PP;
use Test::More;

my $euro = "\xe2\x82\xac";    # three bytes, so that most cuts are in the middle of one
my $c = RegentCluster->new(nodes => 2);

# a helper that says what the file "words" holds, instead of a copy
my $d = $c->dir;
my $keys = slurp("$d/authorized_keys");
my ($helper) = $keys =~ /command="([^"]+)"/;
spew("$d/helper", <<"END", 0755);
#!/bin/sh
case \$SSH_ORIGINAL_COMMAND in
*' copy '*) [ ! -e '$d/words' ] || { cat '$d/words'; exit 1; } ;;
esac
exec $helper
END
$keys =~ s/command="[^"]+"/command="$d\/helper"/;
spew("$d/authorized_keys", $keys, 0600);
$c->up;

# Asked again until it is told: what tells of it comes a moment after it.
sub tells
{
	my ($what, $re) = @_;
	for my $command (qw(status events))
	{
		my ($rc, $out);
		wait_until(sub { ($rc, $out) = $c->regent($command); $out =~ $re }, 10 * $RegentCluster::slow, "$what in regent $command",
			sub { ($c->regent($command))[1] . $c->regentd_log_tail });
		pass("$what: regent $command tells it");
	}
	my ($rc) = $c->regent('explain');
	is($rc, 0, "$what: regent explain answers");
	unlike(slurp("$d/state/main.journal"), qr/"kind":"[a-z]+","crc":"[0-9a-f]+"\}/, "$what: no line of the journal is empty");
	unlike(slurp("$d/regentd.log"), qr/journal_failed|publish_failed/, "$what: and each could be written");
}

# a message of the leader's server
$c->sql('n1', "ALTER ROLE regent SET session_preload_libraries = 'no" . $euro x 200 . "'");
$c->sql('n1', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'regent'");
my $s = $c->wait_status(sub { $_[0]{diagnosis} eq 'login refused' }, 20, 'the leader to refuse us');
tells('a long message', qr/could not access file ".*no$euro/);
$c->sql('n1', 'ALTER ROLE regent RESET session_preload_libraries');
$s = $c->wait_ready;
is("$s->{leader} $s->{term}", 'n1 1', 'no failover');

# answers of a helper
sub job
{
	my ($rc, $out) = $c->regent('--json', 'jobs');
	my @jobs = sort { $b->{id} <=> $a->{id} } @{ (eval { decode_json($out) } || {})->{jobs} || [] };
	return $jobs[0];
}

sub fails_with
{
	my ($what, $detail, $re) = @_;
	$c->wait_status(sub { my $n = RegentCluster::node_of($_[0], 'n2'); $n->{state} eq 'dead' && $n->{ssh} eq 'ready' }, 20, 'n2 to be in sight');
	spew("$d/words", qq({"ok":false,"error":"disk_full","detail":"$detail","hint":"$detail"}\n), 0644);
	my ($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'copy');
	is($rc, 0, "$what: a copy is asked for") or diag("$out$err");
	my $job = wait_until(sub { my $j = job(); $j && $j->{state} eq 'failed' ? $j : undef }, 60 * $RegentCluster::slow, "$what: the job to fail",
		sub { encode_json(job() || {}) . $c->regentd_log_tail });
	like($job->{message}, $re, "$what: the job says why");
	tells($what, qr/disk_full/);
	my $id = $job->{id};
	$c->stop_regentd;
	$c->start_regentd;
	$job = job();
	is($job->{id}, $id, "$what: the restarted regentd knows the job");
	like($job->{message}, $re, "$what: and why it failed");
}

$c->stop_server('n2');
fails_with('a long answer', $euro x 300, qr/disk_full: \x{20ac}{40}/);
fails_with('a LATIN1 answer', "kein Platz f\xfcr \\\"Fran\xe7ais\\\"", qr/disk_full: kein Platz f\?r "Fran\?ais"; kein/);

unlink("$d/words");
$c->wait_node('n2', 'dead');
my ($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'copy', '--wait');
is($rc, 0, 'the copy itself') or diag("$out$err");
$c->wait_node('n2', 'ok');
done_testing();
