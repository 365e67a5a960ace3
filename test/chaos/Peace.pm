# Peace.pm
#    When all faults are over: is everybody well, do all hold the same, and is the
#    cluster again what it was made as?
#
# A round may have changed who belongs to it and what a commit waits for.  First the
# cluster has to come to rest as it is; then what was begun with a node is brought to
# its end by the same command, and everything is undone, as an operator would, so that
# rounds do not depend on each other.
package Peace;

use strict;
use warnings;
use RegentCluster qw(wait_until);

my $ORDER_S = 75;     # for one order
my $INSIST_S = 90;    # for what is asked for again and again

# new(cluster, load, faults, observer, orders, converge, tick): tick looks at all of them once
sub new
{
	my ($class, %o) = @_;
	return bless {%o}, $class;
}

sub voters { my ($s) = @_; return map { $_->{name} } grep { $_->{voter} } @{ $s->{nodes} } }

# In peace regentd answers, be it late on a busy machine.
sub status { my ($self) = @_; return wait_until(sub { $self->{cluster}->status }, 30, 'regentd to answer') }

sub wait_s { my ($self, $s) = @_; my $until = Util::now() + $s; $self->{tick}->() while Util::now() < $until }

# ---- whole? ----

# Why those that vote are not all well; '' when they are.
sub trouble
{
	my ($self) = @_;
	my $c = $self->{cluster};
	my $s = $c->status or return 'regentd does not answer';
	my @voters = voters($s);
	return "phase $s->{phase}: $s->{diagnosis_text}" if $s->{phase} ne 'steady';
	return "not ready: $s->{auto_failover}{reason}" unless $s->{auto_failover}{ready};
	my ($odd) = grep { $_->{voter} && $_->{state} ne 'ok' } @{ $s->{nodes} };
	return "$odd->{name} is $odd->{state}: $odd->{reason}" if $odd;
	return "$s->{left_out}[0]{node} is left out" if @{ $s->{left_out} || [] };
	return 'a rule is still in question' unless $s->{rule_in_force};
	my ($job) = grep { $_->{state} =~ /^(?:queued|running)$/ } @{ $s->{jobs} };
	return "$job->{kind} of $job->{node} is $job->{state}: $job->{message}" if $job;
	my ($order) = $self->{orders}->under_way;
	return 'has not ended: ' . Orders::words($order) if $order;
	return $self->trouble_of_servers($s->{leader}, @voters);
}

# The same asked of the servers.
sub trouble_of_servers
{
	my ($self, $leader, @voters) = @_;
	my $c = $self->{cluster};
	my $names = join ', ', map { "'$_'" } @voters;
	my $streaming = $c->sql($leader, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name IN ($names)", 5)
		// return "$leader does not answer";
	return "$streaming of @voters stream from $leader" if $streaming != @voters - 1;
	for my $name (@voters)
	{
		my $r = $c->sql($name, 'SELECT pg_is_in_recovery()', 5) // return "$name does not answer";
		return "$name is " . ($r eq 't' ? '' : 'not ') . 'in recovery' if ($r eq 't') == ($name eq $leader);
	}
	return '';
}

# Is it what it was made as?
sub change
{
	my ($self) = @_;
	my $c = $self->{cluster};
	my $s = eval { $self->status } or return 'regentd does not answer';
	my $names = join ' ', sort map { $_->{name} } @{ $s->{nodes} };
	return "the nodes are $names" if $names ne join(' ', @Cluster::first);
	my $voters = $c->sql($s->{leader}, "SELECT string_agg(v, ' ' ORDER BY v) FROM (SELECT unnest(voters) AS v FROM regent.rule WHERE (term, seq) = (SELECT term, seq FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1)) x") // '';
	return "the voters are $voters" if $voters ne join(' ', @Cluster::first);
	return "durability $s->{durability}, quorum $s->{quorum}" if $s->{durability} ne $c->{durability} || $s->{quorum} != 1;
	return '';
}

sub not_whole { my ($self) = @_; return $self->trouble || $self->change }

# ---- coming to rest ----

# What a service manager does: a standby that died is started again, also one that
# died when its rebuild was all but done (status says so).  A primary that was fenced
# is regentd's task, and so is a leader.
sub start_dead_standbys
{
	my ($self, $r, $s) = @_;
	my $c = $self->{cluster};
	for my $n (grep { ($_->{state} eq 'dead' || $_->{reason} =~ /is down again: start it/) && $_->{name} ne $s->{leader} && !defined $c->postmaster($_->{name}) } @{ $s->{nodes} })
	{
		$c->start_server($n->{name});
		$r->{started}{ $n->{name} }++;
	}
}

# Whoever cancels a rebuild that a node needs has to ask for another one.
sub rebuild_cancelled
{
	my ($self, $s) = @_;
	my %cancelled = map { $_->{args}[1] => 1 } grep { $_->{args}[0] eq 'cancel' && ($_->{rc} // 1) == 0 } $self->{orders}->all;
	return if !%cancelled || grep { $_->{args}[0] eq 'rebuild' } $self->{orders}->under_way;
	my %nodes = map { $_->{node} => 1 } grep { $cancelled{ $_->{id} } } @{ $s->{jobs} };
	my ($n) = grep { $nodes{ $_->{name} } && $_->{reason} =~ /regent rebuild $_->{name}\b/ } @{ $s->{nodes} };
	$self->{orders}->give('rebuild', $n->{name}, '--wait') if $n;
}

# Until one leads, all stream from it, and clients are served.
sub converge
{
	my ($self, $r) = @_;
	my $began = Util::now();
	my $managed = $began;
	my $why = 'nothing was looked at';
	while (Util::now() < $began + $self->{converge})
	{
		if (Util::now() > $managed + 3)
		{
			my $s = $self->{cluster}->status;
			$self->start_dead_standbys($r, $s) if $s;
			$self->rebuild_cancelled($s) if $s;
			$self->{faults}->resync;
			$managed = Util::now();
		}
		$why = $self->trouble;
		last if $why eq '' && $self->{load}->acked_since($began);
		$why ||= 'no client is served';
		$self->wait_s(0.2);
	}
	$r->{converge_ms} = int(1000 * (Util::now() - $began));
	return $why eq '' ? () : "I4: not whole after $self->{converge} s: $why";
}

# Everybody has replayed all and holds the same as the leader at one moment: a leader
# that writes a rule meanwhile (somebody is counted again) is asked anew.
sub same_rows
{
	my ($self) = @_;
	my $c = $self->{cluster};
	my $s = $self->status;
	my $leader = $s->{leader};
	my $query = "SELECT count(*) || ' ' || coalesce(sum(hashint8(id)::bigint), 0) || ' ' || (SELECT string_agg(r::text, ';' ORDER BY term, seq) FROM regent.rule r) FROM chaos_rows";
	my @bad;
	for (1 .. 5)
	{
		my $lsn = $c->sql($leader, 'SELECT pg_current_wal_lsn()') // return "I4: $leader does not answer";
		my $want = $c->sql($leader, $query) // return "I4: $leader: $c->{sql_error}";
		@bad = ();
		for my $name (grep { $_ ne $leader } voters($s))
		{
			my $ok = eval { wait_until(sub { ($c->sql($name, "SELECT pg_last_wal_replay_lsn() >= '$lsn'") // '') eq 't' }, 30, "$name to replay $lsn") };
			push @bad, "I4: $name does not replay $lsn" and next unless $ok;
			my $have = $c->sql($name, $query) // "error: $c->{sql_error}";
			push @bad, "I4: $name holds other rows than $leader: $have against $want" if $have ne $want;
		}
		last if !@bad || ($c->sql($leader, $query) // '') eq $want;
	}
	return @bad;
}

# ---- as it was ----

# Asks until it is so; a complaint when that does not come.
sub insist
{
	my ($self, $is_so, $what, $words) = @_;
	my $until = Util::now() + $INSIST_S;
	my $said = 'nothing was said';
	while (1)
	{
		my $s = $self->{cluster}->status;
		return () if $s && $is_so->($s);
		return "I4: $what: not so after $INSIST_S s: $said" if Util::now() > $until;
		my $o = $self->{orders}->give($words->());
		$self->wait_s(0.5) if $self->{orders}->wait_for($o, $ORDER_S, $self->{tick}) != 0;
		($said = Orders::words($o) . ": $o->{text}") =~ s/\s*\n\s*/ | /g;
	}
}

sub was_ordered { my ($self, @words) = @_; return scalar grep { "@{ $_->{args} }[0 .. $#words]" eq "@words" } grep { @{ $_->{args} } >= @words } $self->{orders}->all }

sub is_voter { my ($s, $name) = @_; return scalar grep { $_ eq $name } voters($s) }

sub add_words
{
	my ($self, $name) = @_;
	my $c = $self->{cluster};
	return ('node', 'add', $name, $c->has_section($name) ? () : $c->section_options($name));
}

sub wait_rest
{
	my ($self, $what) = @_;
	my $until = Util::now() + $self->{converge};
	my $why;
	while (($why = $self->trouble) ne '')
	{
		return "I4: $what, and not whole after $self->{converge} s: $why" if Util::now() > $until;
		$self->wait_s(0.2);
	}
	return ();
}

# What was begun with a node is brought to its end: the same command goes on.
sub finish
{
	my ($self) = @_;
	my $name = $Cluster::spare;
	my @bad;
	if ($self->was_ordered('node', 'add', $name))
	{
		@bad = $self->insist(sub { is_voter($_[0], $name) }, "$name votes", sub { $self->add_words($name) });
		push @bad, $self->wait_rest("$name was added") unless @bad;
		push @bad, $self->same_rows unless @bad;
	}
	for my $gone (grep { $self->was_ordered('node', 'remove', $_) } @Cluster::first)
	{
		push @bad, $self->insist(sub { $_[0]{leader} eq $gone || (!is_voter($_[0], $gone) && !$self->{cluster}->has_section($gone)) }, "$gone is removed",
			sub { ('node', 'remove', $gone) });
	}
	return @bad;
}

sub remove_spare
{
	my ($self) = @_;
	my ($c, $name) = ($self->{cluster}, $Cluster::spare);
	my @bad = $self->insist(sub { $_[0]{leader} ne $name }, "$name hands over", sub { ('switchover') });
	push @bad, $self->insist(sub { !is_voter($_[0], $name) && !$c->has_section($name) }, "$name is removed", sub { ('node', 'remove', $name) }) unless @bad;
	return @bad if @bad;
	my @voters = voters($self->status);
	my $ok = eval { wait_until(sub { !grep { ($c->sql($_, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regent_$name'") // 1) != 0 } @voters }, 60, 'slots'); 1 };
	$self->{observer}->forget($name);
	$c->empty_host($name);
	return $ok ? () : "I4: slots of $name, which was removed, are still there";
}

# A removed node comes back: cloned anew, or what it holds is rebuilt.
sub take_back
{
	my ($self, $name, $rng) = @_;
	my $c = $self->{cluster};
	my @bad;
	if ($rng->chance(0.5))
	{
		$self->{observer}->forget($name);
		$c->empty_host($name);
	}
	else
	{
		# what stands there is refused, but the section is written
		push @bad, $self->insist(sub { $c->has_section($name) }, "$name has a section", sub { $self->add_words($name) });
		push @bad, $self->insist(sub { grep { $_->{name} eq $name && $_->{state} eq 'ok' } @{ $_[0]{nodes} } }, "$name is rebuilt",
			sub { ('rebuild', $name, '--wait') }) unless @bad;
	}
	push @bad, $self->insist(sub { is_voter($_[0], $name) }, "$name votes again", sub { $self->add_words($name) }) unless @bad;
	return @bad;
}

# Everything is as it was when the cluster was made.
sub restore
{
	my ($self, $rng) = @_;
	my $c = $self->{cluster};
	my @bad = $self->finish;
	push @bad, $self->remove_spare if !@bad && ($self->was_ordered('node', 'add', $Cluster::spare) || $c->has_section($Cluster::spare));
	my $s = $self->status;
	for my $name (grep { !is_voter($s, $_) } @Cluster::first)
	{
		push @bad, $self->take_back($name, $rng) unless @bad;
	}
	push @bad, $self->insist(sub { $_[0]{quorum} == 1 && $_[0]{wanted}{quorum} == 1 }, 'quorum 1', sub { ('set', 'quorum', 1) }) unless @bad;
	push @bad, $self->insist(sub { $_[0]{durability} eq $c->{durability} && $_[0]{rule_in_force} }, "durability $c->{durability}", sub { ('set', 'durability', $c->{durability}) })
		unless @bad;
	push @bad, $self->wait_rest('all is as it was') unless @bad;
	my $change = $self->change;
	push @bad, "I4: not as it was made: $change" if !@bad && $change ne '';
	push @bad, $self->same_rows unless @bad;
	return @bad;
}

1;
